"""Losses of many classes: C numbers per example, with the index of the true class or a probability for each class.

The classes are along `axis`; several axes (all if None) are joined into one. `where` masks classes: bool, in the shape of
the scores or of their rows. A class that is masked out has probability 0, and a row that is masked out completely has loss
0.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gdjax import domain
from gdjax.calls import check_interval, is_concrete
from gdjax.domain import whole_numbers, within
from gdjax.losses.arguments import (
    Axis,
    alike,
    check_real,
    distributions,
    floating,
    last,
    log_softmax,
    mask_of,
    nonempty_rows,
    product,
    select,
    widen_arguments,
)


@widen_arguments
def softmax_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: Axis = -1,
    where: ArrayLike | None = None,
    *,
    label_smoothing: float | jax.Array = 0.0,
) -> jax.Array:
    """-sum_c ((1 - a) t_c + a / C) log p_c, p = softmax(logits), t = labels, a = label_smoothing; 0 log 0 = 0.

    Args:
        axis: along which the classes lie; several, or all if None, are one.
        where: bool, in the shape of the scores or of their rows; which classes there are (default: all). Shares of classes
            that are left out add nothing, as in Optax.
        label_smoothing: in [0, 1]; the share of the label spread evenly over the C classes.

    Shapes: logits (..., C), labels (..., C) >= 0 of sum 1 (to 0.01) -> (...) nats.   For labels that are the numbers of the
    classes: `softmax_cross_entropy_with_integer_labels`.

    >>> print(gd.softmax_cross_entropy(jnp.log(jnp.array([0.5, 0.25, 0.25])), jnp.array([1.0, 0.0, 0.0])))
    0.69315
    """
    return _cross_entropy("softmax_cross_entropy", logits, labels, axis, where, label_smoothing)


@widen_arguments
def safe_softmax_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    """`softmax_cross_entropy`, in which 0 log 0 is 0 already, by another of its names in Optax.

    Shapes: logits (..., C), labels (..., C) >= 0 of sum 1 (to 0.01) -> (...) nats.

    >>> print(gd.safe_softmax_cross_entropy(jnp.log(jnp.array([0.5, 0.25, 0.25])), jnp.array([1.0, 0.0, 0.0])))
    0.69315
    """
    return _cross_entropy("safe_softmax_cross_entropy", logits, labels, axis, where)


@widen_arguments
def poly_loss_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    epsilon: float | jax.Array = 2.0,
    axis: Axis = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """-sum_c t_c log p_c + epsilon sum_c t_c (1 - p_c), p = softmax(logits), t = labels.

    Args:
        epsilon: weight of the second term; 0 is the cross-entropy.
        axis: along which the classes lie; several, or all if None, are one.
        where: bool, in the shape of the scores or of their rows; which classes there are (default: all).

    Shapes: logits (..., C), labels (..., C) >= 0 of sum 1 (to 0.01) -> (...) nats.
    Reference: Leng et al. 2022, arXiv:2204.12511.

    >>> print(gd.poly_loss_cross_entropy(jnp.log(jnp.array([0.5, 0.25, 0.25])), jnp.array([1.0, 0.0, 0.0]), epsilon=2.0))
    1.6931
    """
    who = "poly_loss_cross_entropy"
    logits, labels, valid, _ = _shares(who, logits, labels, axis, where)
    log_p = log_softmax(logits)
    first = -jnp.sum(product(labels, log_p), axis=-1)
    return valid * (first + epsilon * jnp.sum(labels * (1 - jnp.exp(log_p)), axis=-1))


def _cross_entropy(who, logits, labels, axis, where, label_smoothing: float | jax.Array = 0.0) -> jax.Array:
    check_interval(who, "label_smoothing", label_smoothing, "[0, 1]")
    logits, labels, valid, mask = _shares(who, logits, labels, axis, where)
    even = 1 / logits.shape[-1] if mask is None else jnp.where(mask, 1 / _number(mask)[..., None], 0)
    smoothed = (1 - label_smoothing) * labels + label_smoothing * even
    return -valid * jnp.sum(product(smoothed, log_softmax(logits)), axis=-1)


@widen_arguments
def softmax_cross_entropy_with_integer_labels(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: Axis = -1,
    where: ArrayLike | None = None,
    *,
    label_smoothing: float | jax.Array = 0.0,
) -> jax.Array:
    """-(1 - a) log p_y - a mean_c log p_c, p = softmax(logits), y = labels, a = label_smoothing.

    Args:
        axis: along which the classes lie; several, or all if None, are one, whose classes a label numbers in row-major
            order.
        where: bool, in the shape of the scores or of their rows; which classes there are (default: all).
        label_smoothing: in [0, 1]; the share of the label spread evenly over the classes.

    Shapes: logits (..., C), labels (...) int in [0, C) -> (...) nats; inf for a label that is left out.

    >>> print(gd.softmax_cross_entropy_with_integer_labels(jnp.log(jnp.array([0.5, 0.25, 0.25])), 1))
    1.3863
    """
    who, a = "softmax_cross_entropy_with_integer_labels", label_smoothing
    check_interval(who, "label_smoothing", a, "[0, 1]")
    logits, labels, valid, mask = _classes(who, "logits", logits, labels, axis, where)
    log_p = log_softmax(logits)
    picked = _pick(log_p, labels)
    if isinstance(a, (int, float)) and a == 0:
        return -valid * _of_some(picked, mask)
    mean = jnp.mean(log_p, axis=-1) if mask is None else jnp.sum(jnp.where(mask, log_p, 0), axis=-1) / _number(mask)
    smoothed = product(1 - a, picked) + product(jnp.asarray(a, logits.dtype), mean)
    return -valid * _of_some(smoothed, mask)


@widen_arguments
def negative_log_likelihood(
    log_probs: ArrayLike, labels: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    """-log p_y, for a model that ends in log_softmax.

    Args:
        axis: along which the classes lie; several, or all if None, are one.
        where: bool, in the shape of the scores or of their rows; which classes there are (default: all).

    Shapes: log_probs (..., C) <= 0, labels (...) int in [0, C) -> (...) nats.

    >>> print(gd.losses.negative_log_likelihood(jnp.log(jnp.array([0.5, 0.25, 0.25])), 1))
    1.3863
    """
    who = "negative_log_likelihood"
    log_probs, labels, valid, _ = _classes(who, "log_probs", log_probs, labels, axis, where)
    valid *= within(who, "log_probs", log_probs, domain.LOG_PROBABILITIES)
    return -valid * _pick(log_probs, labels)


@widen_arguments
def multiclass_hinge(
    scores: ArrayLike, labels: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    """max(0, 1 + max_{c != y} s_c - s_y): the true class must lead by 1.

    Args:
        axis: along which the classes lie; several, or all if None, are one.
        where: bool, in the shape of the scores or of their rows; which classes there are (default: all).

    Shapes: scores (..., C), labels (...) int in [0, C) -> (...).   Reference: Crammer & Singer 2001, JMLR 2.

    >>> print(gd.losses.multiclass_hinge(jnp.array([1.0, 0.5, 2.0]), 0))
    2.0
    """
    return _lead("multiclass_hinge", scores, labels, axis, where, 1)


@widen_arguments
def multiclass_hinge_loss(
    scores: ArrayLike, labels: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    """`multiclass_hinge` by its name in Optax.   Shapes: scores (..., C), labels (...) int in [0, C) -> (...).

    >>> print(gd.losses.multiclass_hinge_loss(jnp.array([1.0, 0.5, 2.0]), 0))
    2.0
    """
    return _lead("multiclass_hinge_loss", scores, labels, axis, where, 1)


@widen_arguments
def multiclass_perceptron_loss(
    scores: ArrayLike, labels: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    """max_c s_c - s_y: how far the true class is behind.

    Args:
        axis: along which the classes lie; several, or all if None, are one.
        where: bool, in the shape of the scores or of their rows; which classes there are (default: all).

    Shapes: scores (..., C), labels (...) int in [0, C) -> (...).   Reference: Collins 2002, EMNLP.

    >>> print(gd.losses.multiclass_perceptron_loss(jnp.array([1.0, 0.5, 2.0]), 0))
    1.0
    """
    return _lead("multiclass_perceptron_loss", scores, labels, axis, where, 0)


def _lead(who, scores, labels, axis, where, margin: float) -> jax.Array:
    """max(0, margin + max_{c != y} s_c - s_y)."""
    scores, labels, valid, mask = _classes(who, "scores", scores, labels, axis, where)
    quiet = jax.nn.one_hot(labels, scores.shape[-1], dtype=bool)
    quiet = quiet if mask is None else quiet | ~mask
    return valid * jnp.max(jnp.where(quiet, 0, scores - _pick(scores, labels)[..., None] + margin), axis=-1)


def smooth_labels(
    labels: ArrayLike, alpha: float | jax.Array, *, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    """(1 - alpha) labels + alpha / C: a share of each label spread evenly over the C classes.

    Args:
        alpha: in [0, 1].
        axis: of the classes; several, or all if None, are one.
        where: bool, broadcast to the shape of labels; only what it keeps is counted in C.

    Shapes: (..., C) -> (..., C).

    >>> print(gd.smooth_labels(jnp.array([1.0, 0.0, 0.0]), 0.3))
    [0.8 0.1 0.1]
    """
    check_interval("smooth_labels", "alpha", alpha, "[0, 1]")
    labels = floating("smooth_labels", labels)
    if where is None:
        there = jnp.ones(labels.shape, bool)
    else:
        there = jnp.broadcast_to(jnp.asarray(where).astype(bool), labels.shape)
    number = jnp.sum(there, axis=axis, keepdims=True).astype(labels.dtype)
    return ((1 - alpha) * labels + alpha / number).astype(labels.dtype)


def _shares(who, logits, labels, axis, where) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
    """(logits, labels) with the classes last, a factor 1 (NaN where labels are no distributions), and the mask."""
    numbers = hasattr(labels, "dtype") and jnp.issubdtype(labels.dtype, jnp.integer)
    if numbers and jnp.ndim(labels) < jnp.ndim(logits):
        got = f"got integers of shape {jnp.shape(labels)} beside logits of shape {jnp.shape(logits)}"
        write = "of the numbers of classes write softmax_cross_entropy_with_integer_labels"
        raise ValueError(f"{who}: labels must be shares of the classes, in the shape of the logits; {got}; {write}")
    logits, labels = alike(who, "logits", logits, "labels", labels, real=True)
    mask = mask_of(who, "logits", logits, axis, where, rows=True)
    logits, labels = last(who, logits, axis), last(who, labels, axis)
    valid = distributions(who, "labels", labels, mask)
    return select(logits, mask, -jnp.inf), select(labels, mask), valid, mask


def _classes(who, name, scores, labels, axis, where) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
    """Scores with the classes last, labels clipped to the range, a factor 1 (NaN for invalid labels), and the mask."""
    scores, classes = floating(who, scores), whole_numbers(labels)
    check_real(who, name, scores)
    if not jnp.issubdtype(classes.dtype, jnp.integer):
        shares = "; of shares write softmax_cross_entropy" if classes.shape == scores.shape else ""
        raise TypeError(f"{who}: labels must be integers, got {classes.dtype}{shares}")
    mask, shape = (mask_of(who, name, scores, axis, where, rows=True) if scores.ndim else None), scores.shape
    rows = last(who, scores, axis) if scores.ndim else scores
    if not scores.ndim or classes.shape != rows.shape[:-1]:
        expected = f"labels (...) and {name} (..., C) must agree"
        raise ValueError(f"{who}: {expected}, got {classes.shape} and {shape}")
    size = rows.shape[-1]
    given = labels if is_concrete(labels) else classes  # before an int64 overflows
    valid = within(who, "labels", given, domain.classes(size), nonempty_rows(mask))
    return select(rows, mask, -jnp.inf), jnp.clip(classes, 0, size - 1), valid, mask


def _pick(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """scores[..., labels]."""
    return jnp.take_along_axis(scores, labels[..., None], axis=-1)[..., 0]


def _number(mask: jax.Array) -> jax.Array:
    """The number of unmasked classes in each row, at least 1."""
    return jnp.maximum(jnp.sum(mask, axis=-1), 1)


def _of_some(value: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The value of a row, 0 if it is masked out completely."""
    return value if mask is None else jnp.where(nonempty_rows(mask), value, 0)
