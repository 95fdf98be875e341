"""Losses of one example.

Leading axes are free: one example and a batch both work,
elementwise. Shapes must agree exactly, else ValueError: (n,) against (n, 1) would broadcast to (n, n). Label
values are checked where they are concrete (ValueError); in traced code a class outside [0, C) gives NaN.
Classes must be integers (TypeError).

Differs from Optax: its hinge_loss, huber_loss, log_cosh and sigmoid_binary_cross_entropy broadcast in
silence, a class of -1 reads the last one, and impossible classes (p = 0, log q = -inf) give NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gdjax.nodes import check_interval, is_concrete
from gdjax.tree import absolute

# Regression. A vector-valued output (..., D) keeps its axis; `supervised` takes the mean over it.


def squared_error(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """(prediction - target)².   Shapes: (...), (...) -> (...)."""
    return jnp.square(_error("squared_error", prediction, target))


def half_squared_error(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """(prediction - target)² / 2, whose gradient is the error itself.   Shapes: (...), (...) -> (...)."""
    return jnp.square(_error("half_squared_error", prediction, target)) / 2


def absolute_error(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """|prediction - target|, with subgradient 0 at 0.   Shapes: (...), (...) -> (...)."""
    return absolute(_error("absolute_error", prediction, target))


def huber(prediction: ArrayLike, target: ArrayLike, delta: float | jax.Array = 1.0) -> jax.Array:
    """Squared near 0, linear beyond delta: its gradient is the error e clipped to [-delta, delta].

        e²/2 where |e| <= delta,   delta (|e| - delta/2) elsewhere,   e = prediction - target

    Args:
        delta: > 0, target units.

    Shapes: (...), (...) -> (...).   Reference: Huber 1964, Ann. Math. Statist. 35.
    """
    check_interval("huber", "delta", delta, "(0, inf)")
    error = _error("huber", prediction, target)
    clipped = jnp.clip(error, -delta, delta)
    return clipped * (error - clipped / 2)


def log_cosh(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """log cosh e, e = prediction - target: e²/2 near 0, |e| - log 2 far away, smooth between.

    Shapes: (...), (...) -> (...).   Differs from: optax.log_cosh, in float32 off by 7 % at e = 1e-3.
    """
    error = _error("log_cosh", prediction, target)
    near = jnp.log1p(2 * jnp.sinh(jnp.clip(error, -1, 1) / 2) ** 2)  # cosh e = 1 + 2 sinh²(e/2)
    far = jnp.abs(error) + jnp.log1p(jnp.exp(-2 * jnp.abs(error))) - jnp.log(2)
    return jnp.where(jnp.abs(error) < 1, near, far)


# Two classes, one number per example.


def binary_cross_entropy_from_logits(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    """-y log s(z) - (1 - y) log(1 - s(z)), s the logistic function; accurate for any z.

    Shapes: logits (...), labels (...) in {0, 1} or probabilities in [0, 1] -> (...) nats.
    """
    z, y = _binary("binary_cross_entropy_from_logits", "logits", logits, labels)
    return y * jax.nn.softplus(-z) + (1 - y) * jax.nn.softplus(z)


def binary_cross_entropy(probabilities: ArrayLike, labels: ArrayLike) -> jax.Array:
    """-y log max(p, eps) - (1 - y) log max(1 - p, eps), eps the machine epsilon of the dtype.

    Value and gradient are finite even at p = 0 and 1, but clipped a wrong prediction gets no gradient: to
    train, prefer logits.

    Shapes: probabilities (...) in [0, 1], labels (...) in {0, 1} or in [0, 1] -> (...) nats.
    """
    p, y = _binary("binary_cross_entropy", "probabilities", probabilities, labels)
    eps = jnp.finfo(p.dtype).eps
    return -y * jnp.log(jnp.maximum(p, eps)) - (1 - y) * jnp.log(jnp.maximum(1 - p, eps))


def focal(
    logits: ArrayLike,
    labels: ArrayLike,
    gamma: float | jax.Array = 2.0,
    alpha: float | jax.Array | None = None,
) -> jax.Array:
    """Cross-entropy that plays down what is already right: -alpha_y (1 - p_y)^gamma log p_y.

        p_y = s(z) where y = 1, 1 - s(z) where y = 0;   alpha_y = alpha where y = 1, 1 - alpha where y = 0

    Args:
        gamma: >= 0; 0 is the cross-entropy.
        alpha: in [0, 1], the weight of the positive class; None weighs neither.

    Shapes: logits (...), labels (...) in {0, 1} -> (...) nats.   Reference: Lin et al., arXiv:1708.02002.
    """
    check_interval("focal", "gamma", gamma, "[0, inf)")
    check_interval("focal", "alpha", alpha, "[0, 1]")
    z, y = _binary("focal", "logits", logits, labels)
    z = jnp.where(y > 0, z, -z)
    loss = jnp.exp(-gamma * jax.nn.softplus(z)) * jax.nn.softplus(-z)
    return loss if alpha is None else jnp.where(y > 0, alpha, 1 - alpha) * loss


def hinge(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, 1 - y s), with subgradient 0 at y s = 1; an upper bound on the zero-one loss.

    Shapes: scores (...), labels (...) in {-1, +1} -> (...).   Reference: Cortes & Vapnik 1995.
    """
    margin = _margin("hinge", scores, labels)
    return jnp.where(margin >= 1, 0, 1 - margin)


def squared_hinge(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, 1 - y s)².   Shapes: scores (...), labels (...) in {-1, +1} -> (...)."""
    margin = _margin("squared_hinge", scores, labels)
    return jnp.square(jnp.where(margin >= 1, 0, 1 - margin))


def perceptron(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, -y s), with subgradient -y at s = 0, so that zero weights learn.

    Shapes: scores (...), labels (...) in {-1, +1} -> (...).   Reference: Rosenblatt 1958.
    """
    margin = _margin("perceptron", scores, labels)
    return jnp.where(margin > 0, 0, -margin)


# Many classes, C numbers per example.


def softmax_cross_entropy(logits: ArrayLike, labels: ArrayLike, label_smoothing: float | jax.Array = 0.0) -> jax.Array:
    """-(1 - a) log p_y - a mean_c log p_c, p = softmax(logits), a = label_smoothing.

    Args:
        label_smoothing: in [0, 1]; the share of the label spread evenly over the classes.

    Shapes: logits (..., C), labels (...) int in [0, C) -> (...) nats.
    """
    check_interval("softmax_cross_entropy", "label_smoothing", label_smoothing, "[0, 1]")
    logits, labels = _classes("softmax_cross_entropy", "logits", logits, labels)
    log_p = jax.nn.log_softmax(logits)
    spread = jnp.where(label_smoothing > 0, label_smoothing * jnp.mean(log_p, axis=-1), 0)  # not 0 * -inf
    return -(1 - label_smoothing) * _pick(log_p, labels) - spread


def softmax_cross_entropy_one_hot(
    logits: ArrayLike, targets: ArrayLike, label_smoothing: float | jax.Array = 0.0
) -> jax.Array:
    """-sum_c ((1 - a) t_c + a / C) log p_c, p = softmax(logits), a = label_smoothing; 0 log 0 = 0.

    Args:
        label_smoothing: in [0, 1]; the share of the target spread evenly over the classes.

    Shapes: logits (..., C), targets (..., C) >= 0 of sum 1 -> (...) nats.
    """
    check_interval("softmax_cross_entropy_one_hot", "label_smoothing", label_smoothing, "[0, 1]")
    logits, targets = _alike("softmax_cross_entropy_one_hot", "logits", logits, "targets", targets)
    smoothed = (1 - label_smoothing) * targets + label_smoothing / logits.shape[-1]
    return -_expectation(smoothed, jax.nn.log_softmax(logits))


def negative_log_likelihood(log_probs: ArrayLike, labels: ArrayLike) -> jax.Array:
    """-log p_y, for a model that ends in log_softmax.

    Shapes: log_probs (..., C) <= 0, labels (...) int in [0, C) -> (...) nats.
    """
    return -_pick(*_classes("negative_log_likelihood", "log_probs", log_probs, labels))


def multiclass_hinge(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, 1 + max_{c != y} s_c - s_y): the true class must lead by 1.

    Shapes: scores (..., C), labels (...) int in [0, C) -> (...).   Reference: Crammer & Singer 2001, JMLR 2.
    """
    scores, labels = _classes("multiclass_hinge", "scores", scores, labels)
    others = 1 - jax.nn.one_hot(labels, scores.shape[-1], dtype=scores.dtype)
    return jnp.max(scores - _pick(scores, labels)[..., None] + others, axis=-1)


def kl_divergence(log_q: ArrayLike, p: ArrayLike) -> jax.Array:
    """sum_c p_c (log p_c - log q_c), the nats lost by coding p with q; 0 log 0 = 0; inf where q_c = 0 < p_c.

    The prediction comes as logarithms, the target as probabilities, as in optax.losses.kl_divergence.

    Shapes: log_q (..., C) <= 0, p (..., C) >= 0 of sum 1 -> (...) nats.
    """
    log_q, p = _alike("kl_divergence", "log_q", log_q, "p", p)
    return _expectation(p, jnp.log(jnp.where(p > 0, p, 1)) - log_q)


def _alike(who: str, a_name: str, a: ArrayLike, b_name: str, b: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Both as floating arrays of one shape."""
    a, b = _floating(a), _floating(b)
    if a.shape != b.shape:
        raise ValueError(f"{who}: {a_name} and {b_name} must have one shape, got {a.shape} and {b.shape}")
    return a, b


def _floating(x: ArrayLike) -> jax.Array:
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(float)


def _error(who: str, prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    prediction, target = _alike(who, "prediction", prediction, "target", target)
    return prediction - target


def _binary(who: str, name: str, prediction: ArrayLike, labels: ArrayLike) -> tuple[jax.Array, jax.Array]:
    _check_values(who, labels, lambda y: (y >= 0) & (y <= 1), "[0, 1]")
    prediction, y = _alike(who, name, prediction, "labels", labels)
    return prediction, y.astype(prediction.dtype)


def _margin(who: str, scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    _check_values(who, labels, lambda y: (y == 1) | (y == -1), "{-1, +1}")
    scores, signs = _alike(who, "scores", scores, "labels", labels)
    return signs.astype(scores.dtype) * scores


def _classes(who: str, name: str, scores: ArrayLike, labels: ArrayLike) -> tuple[jax.Array, jax.Array]:
    scores, classes = _floating(scores), jnp.asarray(labels)
    if not jnp.issubdtype(classes.dtype, jnp.integer):
        raise TypeError(f"{who}: labels must be integers, got {classes.dtype}")
    if not scores.ndim or classes.shape != scores.shape[:-1]:
        expected = f"labels (...) and {name} (..., C) must agree"
        raise ValueError(f"{who}: {expected}, got {classes.shape} and {scores.shape}")
    size = scores.shape[-1]
    _check_values(who, labels, lambda y: (y >= 0) & (y < size), f"[0, {size})")
    return scores, classes


def _check_values(who: str, labels: ArrayLike, holds: Callable[[Any], Any], domain: str) -> None:
    if is_concrete(labels):
        values = np.asarray(labels)
        if (wrong := values[~holds(values)]).size:
            raise ValueError(f"{who}: labels must be in {domain}, got {wrong[0]}")


def _pick(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """scores[..., labels]; NaN for a label outside [0, C)."""
    labels = jnp.where(labels < 0, scores.shape[-1], labels)  # a negative index would count from the end
    return jnp.take_along_axis(scores, labels[..., None], axis=-1, mode="fill", fill_value=jnp.nan)[..., 0]


def _expectation(p: jax.Array, x: jax.Array) -> jax.Array:
    """sum_c p_c x_c; what is impossible adds nothing, be it 0 * inf."""
    return jnp.sum(p * jnp.where(p > 0, x, 0), axis=-1)


def _two_classes(logits: jax.Array) -> jax.Array:
    """Logits (...) to the probabilities of both classes, (..., 2)."""
    return jnp.stack([jax.nn.sigmoid(-logits), jax.nn.sigmoid(logits)], axis=-1)


class LossEntry(NamedTuple):
    """A loss, and what a command line must know of it.

    labels: "real", "binary" {0, 1} or "sign" {-1, +1} (...), "class" int (...) or "distribution" (..., C).
    prediction: "score" (any real number, what models give), "probability" or "log_probability".
    probabilities: scores -> the probabilities (..., C) that the loss takes them for; None if it does not.
    """

    function: Callable[..., jax.Array]
    labels: str
    prediction: str = "score"
    probabilities: Callable[[jax.Array], jax.Array] | None = None

    @property
    def task(self) -> str:
        return "regression" if self.labels == "real" else "classification"


LOSSES: dict[str, LossEntry] = {
    "squared_error": LossEntry(squared_error, "real"),
    "half_squared_error": LossEntry(half_squared_error, "real"),
    "absolute_error": LossEntry(absolute_error, "real"),
    "huber": LossEntry(huber, "real"),
    "log_cosh": LossEntry(log_cosh, "real"),
    "binary_cross_entropy_from_logits": LossEntry(
        binary_cross_entropy_from_logits, "binary", probabilities=_two_classes
    ),
    "binary_cross_entropy": LossEntry(binary_cross_entropy, "binary", "probability"),
    "focal": LossEntry(focal, "binary"),
    "hinge": LossEntry(hinge, "sign"),
    "squared_hinge": LossEntry(squared_hinge, "sign"),
    "perceptron": LossEntry(perceptron, "sign"),
    "softmax_cross_entropy": LossEntry(softmax_cross_entropy, "class", probabilities=jax.nn.softmax),
    "softmax_cross_entropy_one_hot": LossEntry(softmax_cross_entropy_one_hot, "distribution"),
    "negative_log_likelihood": LossEntry(negative_log_likelihood, "class", "log_probability"),
    "multiclass_hinge": LossEntry(multiclass_hinge, "class"),
    "kl_divergence": LossEntry(kl_divergence, "distribution", "log_probability"),
}
