"""Metrics of classes: right or wrong, counted by class, ranked by score."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gdjax.calls import is_concrete
from gdjax.domain import BINARY, classes, whole_numbers, within
from gdjax.losses import softmax_cross_entropy_with_integer_labels
from gdjax.measures import mean_result, measure_mean
from gdjax.metrics.metric import Metric, mean, or_one
from gdjax.programs import bind

# Functions of one example, for `mean` and for the metrics of `supervised`.


def correct(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """1 where the predicted class is the label, else 0; NaN scores are never right.

    The predicted class is that of the highest of C scores; a single score, a logit, predicts the second class above 0.
    A single probability is a score after 0.5 is subtracted: `correct(p - 0.5, target)`.

    Shapes: prediction (..., C), target (...) int in [0, C), or both (...), target in {0, 1} or {-1, +1}
    -> (...) float.
    Raises: ValueError for other shapes, C = 1 or a label that is none (NaN where it is traced), TypeError if classes are not
        integers.

    >>> print(gd.metrics.correct(jnp.array([0.1, 2.0, 1.0]), 1))
    1.0
    """
    predicted, label, known, valid = _classes("correct", prediction, target)
    return _where_valid(valid, (predicted == label) & known)


def zero_one(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """1 - correct: the zero-one loss, bounded from above by the hinge.

    Shapes: prediction (..., C), target (...) int in [0, C), or both (...), target in {0, 1} or {-1, +1}
    -> (...) float.
    Raises: ValueError and TypeError as `correct` does.

    >>> print(gd.metrics.zero_one(jnp.array([0.1, 2.0, 1.0]), 1))
    0.0
    """
    return 1 - correct(prediction, target)


def in_top_k(prediction: ArrayLike, target: ArrayLike, k: int) -> jax.Array:
    """1 where the label is among the k classes of highest score (the first of equals), else 0.

    Shapes: prediction (..., C), target (...) int in [0, C) -> (...).   Raises: ValueError unless 1 <= k <= C.

    >>> print(gd.metrics.in_top_k(jnp.array([0.1, 2.0, 1.0]), 2, k=2))
    1.0
    """
    _, label, known, valid = _classes("in_top_k", prediction, target)
    scores = jnp.asarray(prediction)
    if scores.ndim == label.ndim or not 1 <= k <= scores.shape[-1]:
        raise ValueError(f"in_top_k: k must be in [1, C], got {k} for scores {scores.shape}")
    own = jnp.take_along_axis(scores, label[..., None], axis=-1)
    first = jnp.arange(scores.shape[-1]) < label[..., None]
    rank = jnp.sum((scores > own) | ((scores == own) & first), axis=-1)
    return _where_valid(valid, (rank < k) & known)


def _where_valid(valid: jax.Array, value: jax.Array) -> jax.Array:
    """The value as a float, NaN where it is not valid. (XLA rewrites a product of NaN and a bool as a selection.)"""
    return jnp.where(jnp.isnan(valid), jnp.nan, value.astype(float))


def _classes(
    who: str, prediction: ArrayLike, target: ArrayLike, counted: Any = True
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """(predicted class, true class, whether the scores are not NaN, a factor that is NaN for invalid labels), each (...)."""
    scores, label = jnp.asarray(prediction), whole_numbers(target)
    given = target if is_concrete(target) else label  # before an int64 overflows
    known = ~jnp.isnan(scores)
    if scores.shape == label.shape:
        valid = within(who, "labels", given, BINARY, counted)
        return (scores > 0).astype(jnp.int32), (label > 0).astype(jnp.int32), known, valid
    if scores.shape[:-1] != label.shape or scores.shape[-1] < 2:
        expected = "prediction must be (..., C) with C >= 2, or (...), for target (...)"
        raise ValueError(f"{who}: {expected}, got {scores.shape} and {label.shape}")
    if not jnp.issubdtype(label.dtype, jnp.integer):
        raise TypeError(f"{who}: classes must be integers, got {label.dtype}")
    valid = within(who, "labels", given, classes(scores.shape[-1]), counted)
    label = jnp.clip(label, 0, scores.shape[-1] - 1)
    return jnp.argmax(scores, axis=-1).astype(jnp.int32), label, known.all(axis=-1), valid


for _function, _better in ((correct, "max"), (zero_one, "min"), (in_top_k, "max")):
    _function.better = _better  # type: ignore[attr-defined]


def _perplexity_result(stats: tuple[jax.Array, jax.Array]) -> jax.Array:
    return jnp.exp(mean_result(stats))


def top_k_accuracy(k: int) -> Metric:
    """The share of labels that are among the k classes of highest score, as a metric.

    Args:
        k: in [1, C].

    Differs from: sklearn.metrics.top_k_accuracy_score in ties: of equal scores it takes the last.

    >>> print(gd.metrics.top_k_accuracy(2)(jnp.array([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]]), jnp.array([1, 2])))
    0.5
    """
    return mean(bind(in_top_k, k=k))


accuracy: Metric = mean(correct)
zero_one_error: Metric = mean(zero_one)
perplexity: Metric = Metric(  # e^(nats per label)
    bind(measure_mean, softmax_cross_entropy_with_integer_labels), _perplexity_result, better="min"
)


# Counts of (true, predicted) classes.


def confusion_counts(num_classes: int) -> Metric:
    """Weight of the examples of true class i predicted as j, (C, C); NaN where scores are NaN.

    Counts are exact up to 2^24, beyond they are rounded once or twice (float32). Of weights, rows are added in lanes of 64
    (of C² / 16 for more than 32 classes) and lanes pairwise: their sum is right to about 64 (C² / 16) x 3e-8.

    Args:
        num_classes: C, at least 2.

    >>> scores, labels = jnp.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]]), jnp.array([0, 1, 1])
    >>> print(gd.metrics.confusion_counts(2)(scores, labels))
    [[1. 0.]
     [1. 1.]]
    """
    return Metric(bind(_measure_confusion, num_classes), _confusion_result, counts=True)


def precision(num_classes: int) -> Metric:
    """Of what is predicted as class c, the share that is c, as a metric: (C,).

    It is 0 where nothing is predicted so, as in scikit-learn, and NaN if there are no rows.

    Args:
        num_classes: C, at least 2.

    >>> scores, labels = jnp.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]]), jnp.array([0, 1, 1])
    >>> print(gd.metrics.precision(2)(scores, labels))
    [0.5 1.]
    """
    return Metric(bind(_measure_confusion, num_classes), _precision_result, better="max")


def recall(num_classes: int) -> Metric:
    """Of the examples of class c, the share that is predicted so, as a metric: (C,).

    It is 0 where the class is absent, as in scikit-learn, and NaN if there are no rows.

    Args:
        num_classes: C, at least 2.

    >>> scores, labels = jnp.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]]), jnp.array([0, 1, 1])
    >>> print(gd.metrics.recall(2)(scores, labels))
    [1. 0.5]
    """
    return Metric(bind(_measure_confusion, num_classes), _recall_result, better="max")


def _measure_confusion(num_classes: int, prediction: Any, target: Any, weight: jax.Array) -> jax.Array:
    counted = jnp.expand_dims(weight != 0, tuple(range(1, jnp.ndim(target))))
    predicted, label, known, valid = _classes("confusion_counts", prediction, target, counted)
    found = 2 if jnp.shape(prediction) == label.shape else jnp.shape(prediction)[-1]
    if num_classes != found:
        raise ValueError(f"confusion_counts: num_classes must be {found} as in prediction, got {num_classes}")
    weight = jnp.expand_dims(weight, tuple(range(1, label.ndim)))
    added = jnp.where((weight != 0) & ~known, jnp.nan, weight)
    return _tally(
        num_classes, label.ravel(), predicted.ravel(), jnp.broadcast_to(added, label.shape).ravel()
    ) * jnp.min(valid)


@functools.partial(jax.jit, static_argnums=0)
def _tally(num_classes: int, label: jax.Array, predicted: jax.Array, weight: jax.Array) -> jax.Array:
    """The sum of the weights in each cell, (C, C): row i is added to lane i mod L, and lanes are added pairwise."""
    rows = len(weight)
    lanes = max(1, min(-(-rows // 64), 16 * rows // num_classes**2))
    lane = jnp.arange(rows) % lanes
    cells = jnp.zeros((lanes, num_classes, num_classes), weight.dtype).at[lane, label, predicted].add(weight)
    return _pairwise_sum(cells)


def _pairwise_sum(x: jax.Array) -> jax.Array:
    """The sum over the first axis, by pairwise summation."""
    while len(x) > 1:
        half = len(x) // 2
        x = jnp.concatenate([x[:half] + x[half : 2 * half], x[2 * half :]])
    return x[0]


def _confusion_result(counts: jax.Array) -> jax.Array:
    return _pairwise_sum(counts)


def _precision_result(counts: jax.Array) -> jax.Array:
    counts = _pairwise_sum(counts)
    return _share(jnp.diagonal(counts), jnp.sum(counts, axis=0))


def _recall_result(counts: jax.Array) -> jax.Array:
    counts = _pairwise_sum(counts)
    return _share(jnp.diagonal(counts), jnp.sum(counts, axis=1))


def _share(part: jax.Array, whole: jax.Array) -> jax.Array:
    return jnp.where(jnp.sum(whole) == 0, jnp.nan, part / or_one(whole))


# The area under the ROC curve.


def _measure_roc_auc(prediction: ArrayLike, target: ArrayLike, weight: jax.Array) -> tuple[jax.Array, ...]:
    scores, label = jnp.asarray(prediction), jnp.asarray(target)
    if scores.ndim != 1 or scores.shape != label.shape:
        raise ValueError(f"roc_auc: scores and labels must be (n,), got {scores.shape} and {label.shape}")
    valid = within("roc_auc", "labels", target if is_concrete(target) else label, BINARY, weight != 0)
    return jnp.where(weight != 0, _where_valid(valid, scores), 0), label > 0, weight


def _roc_auc_result(stats: tuple[jax.Array, ...]) -> jax.Array:
    scores, positive, weight = map(jnp.ravel, stats)
    order = jnp.argsort(scores)
    scores, positive, weight = scores[order], positive[order], weight[order]
    up, down = jnp.where(positive, weight, 0), jnp.where(positive, 0, weight)
    below = jnp.concatenate([jnp.zeros(1, down.dtype), jnp.cumsum(down)])
    left, right = (below[jnp.searchsorted(scores, scores, side=side)] for side in ("left", "right"))
    area = jnp.sum(up / jnp.sum(up) * (left + right) / 2 / jnp.sum(down))
    return jnp.where(jnp.isnan(scores).any(), jnp.nan, area)


# P(score of a positive > score of a negative), ties counting half, exactly: scores (n,), labels (n,) in
# {0, 1} or {-1, +1}. It keeps the scores of all chunks. NaN if a class is absent or a score is NaN.
roc_auc: Metric = Metric(_measure_roc_auc, _roc_auc_result, better="max")
