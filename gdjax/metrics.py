"""Metrics that reduce rightly, over masked rows and over chunks.

A mean of chunk means is no mean, and no average of chunk areas is the area under a curve. So a metric is a
pair: `measure` keeps of one chunk what the answer needs (sums, moments, counts or the scores themselves), and
`result` makes the answer of the stacked stats of all. However the rows are split, it is that of the whole:

    result(stack(measure(chunk) for chunk in chunks)) = metric(prediction, target, weight)

Called, a metric does both for one array. A row of weight 0 has no influence, not even if it holds NaN; what
has no value (the mean of no rows, the area under the curve of one class) is NaN.

Predictions are scores: (n, C) of them with (n,) int classes, where the highest wins and the first of equals;
or (n,) with labels (n,) in {0, 1} or {-1, +1}, where a score > 0 means the positive class. Further axes are
averaged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gdjax.losses import absolute_error, better_direction, softmax_cross_entropy, squared_error
from gdjax.programs import bind
from gdjax.tree import arithmetic_dtype


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric as (measure, result); equal by value.

    measure: (prediction (n, ...), target (n, ...), weight (n,) float) -> a chunk's stats, a pytree of arrays.
    result: stats stacked along a new first axis, that of the chunks -> the value.
    better: "min" or "max", the direction in which it improves; None where it has none or does not know.
    of_one: (prediction, target) -> the value of one example, where the metric is a mean over examples.
    """

    measure: Callable[[Any, Any, jax.Array], Any]
    result: Callable[[Any], jax.Array]
    better: str | None = None
    of_one: Callable[[Any, Any], jax.Array] | None = None

    def __post_init__(self):
        if self.better not in (None, "min", "max"):
            raise ValueError(f"Metric: better must be 'min', 'max' or None, got {self.better!r}")

    def __call__(self, prediction: Any, target: Any, weight: ArrayLike | None = None) -> jax.Array:
        n = jnp.shape(target)[0]
        w = jnp.ones(n) if weight is None else jnp.asarray(weight).astype(float)
        if w.shape != (n,):
            raise ValueError(f"metric: weight must have shape ({n},), got {w.shape}")
        stats = self.measure(prediction, target, w)
        return self.result(jax.tree.map(lambda x: x[None], stats))


# Of one example, for `mean` and for the metrics of `supervised`.


def correct(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """1 where the predicted class is the label, else 0; NaN scores are never right.

    Shapes: prediction (..., C), target (...) int in [0, C), or both (...), target in {0, 1} or {-1, +1}
    -> (...) float.
    Raises: ValueError for other shapes or C = 1, TypeError if classes are not integers.
    """
    predicted, label, known = _classes("correct", prediction, target)
    return ((predicted == label) & known).astype(float)


def zero_one(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """1 - correct: the zero-one loss, bounded from above by the hinge. Shapes and errors as for `correct`."""
    return 1 - correct(prediction, target)


def in_top_k(prediction: ArrayLike, target: ArrayLike, k: int) -> jax.Array:
    """1 where the label is among the k classes of highest score (the first of equals), else 0.

    Shapes: prediction (..., C), target (...) int in [0, C) -> (...).   Raises: ValueError unless 1 <= k <= C.
    """
    _, label, known = _classes("in_top_k", prediction, target)
    scores = jnp.asarray(prediction)
    if scores.ndim == label.ndim or not 1 <= k <= scores.shape[-1]:
        raise ValueError(f"in_top_k: k must be in [1, C], got {k} for scores {scores.shape}")
    _, best = jax.lax.top_k(scores, k)
    return ((best == label[..., None]).any(axis=-1) & known).astype(float)


def _classes(who: str, prediction: ArrayLike, target: ArrayLike) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The predicted class, the true one, and whether the scores are numbers: each (...)."""
    scores, label = jnp.asarray(prediction), jnp.asarray(target)
    known = ~jnp.isnan(scores)
    if scores.shape == label.shape:
        return (scores > 0).astype(jnp.int32), (label > 0).astype(jnp.int32), known
    if scores.shape[:-1] != label.shape or scores.shape[-1] < 2:
        expected = "prediction must be (..., C) with C >= 2, or (...), for target (...)"
        raise ValueError(f"{who}: {expected}, got {scores.shape} and {label.shape}")
    if not jnp.issubdtype(label.dtype, jnp.integer):
        raise TypeError(f"{who}: classes must be integers, got {label.dtype}")
    return jnp.argmax(scores, axis=-1).astype(jnp.int32), label, known.all(axis=-1)


for _function, _better in ((correct, "max"), (zero_one, "min"), (in_top_k, "max")):
    _function.better = _better  # type: ignore[attr-defined]


# Means over examples.


def mean(function: Callable[[Any, Any], jax.Array], better: str | None = None) -> Metric:
    """sum_i w_i f(prediction_i, target_i) / sum_i w_i, of any function of one example.

    Args:
        better: "min" or "max"; None is the function's own direction, if it is one of ours or a loss of Optax's.
    """
    of_one = bind(function)
    return Metric(bind(_measure_mean, of_one), _mean_result, better or better_direction(function), of_one)


def _measure_mean(function: Callable, prediction: Any, target: Any, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    values = jax.vmap(function)(prediction, target)
    values = jnp.mean(values, axis=tuple(range(1, values.ndim)), dtype=arithmetic_dtype(values))
    return jnp.sum(weight * values, where=weight != 0), jnp.sum(weight)


def _mean_result(stats: tuple[jax.Array, jax.Array]) -> jax.Array:
    total, weight = stats
    return jnp.sum(total) / jnp.sum(weight)


def _perplexity_result(stats: tuple[jax.Array, jax.Array]) -> jax.Array:
    return jnp.exp(_mean_result(stats))


def top_k_accuracy(k: int) -> Metric:
    """The share of labels that are among the k classes of highest score.

    Differs from: sklearn.metrics.top_k_accuracy_score in ties: of equal scores it takes the last.
    """
    return mean(bind(in_top_k, k=k))


accuracy = mean(correct)
zero_one_error = mean(zero_one)
mean_squared_error = mean(squared_error)
mean_absolute_error = mean(absolute_error)
perplexity = Metric(bind(_measure_mean, softmax_cross_entropy), _perplexity_result, better="min")  # e^(nats per label)


# The coefficient of determination.


def _moments(values: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """mean and sum w (v - mean)² over the first axis, about the first row that counts (constants: exact)."""
    weight = jnp.expand_dims(weight, tuple(range(1, values.ndim)))
    first = values[jnp.argmax(jnp.ravel(weight) != 0)]
    moved = jnp.where(weight != 0, values - first, 0)
    total = jnp.sum(weight)
    shift = jnp.sum(weight * moved, axis=0) / jnp.where(total == 0, 1, total)
    return first + shift, jnp.sum(weight * jnp.square(moved - shift), axis=0)


def _measure_r2(prediction: ArrayLike, target: ArrayLike, weight: jax.Array) -> tuple[jax.Array, ...]:
    squares = squared_error(prediction, target)
    squares = squares.astype(arithmetic_dtype(squares))
    counts = jnp.expand_dims(weight, tuple(range(1, squares.ndim)))
    residual = jnp.sum(counts * squares, axis=0, where=counts != 0)
    return jnp.sum(weight), residual, *_moments(jnp.asarray(target, squares.dtype), weight)


def _r2_result(stats: tuple[jax.Array, ...]) -> jax.Array:
    weight, residual, means, within = stats
    _, between = _moments(means, weight)
    residual, total = jnp.sum(residual, axis=0), jnp.sum(within, axis=0) + between
    share = residual / jnp.where(total == 0, 1, total)
    score = jnp.where((total == 0) & (residual > 0), 0, 1 - share)
    return jnp.where(jnp.sum(weight) == 0, jnp.nan, jnp.mean(score))


# 1 - sum w (y - prediction)² / sum w (y - mean y)², (n, ...), the mean over outputs. Of a constant target it
# is 1 if predicted exactly, else 0, as in sklearn.metrics.r2_score (which wants two rows). Chunks merge by
# their means and spreads (Chan, Golub & LeVeque 1983), so that a large mean does not cancel.
r2 = Metric(_measure_r2, _r2_result, better="max")


# Counts of (true, predicted) classes.


def confusion_counts(num_classes: int) -> Metric:
    """Weight of the examples of true class i predicted as j, (C, C); NaN where scores are NaN."""
    return Metric(bind(_measure_confusion, num_classes), _confusion_result)


def precision(num_classes: int) -> Metric:
    """Of what is predicted as class c, the share that is: (C,); 0 where nothing is predicted so."""
    return Metric(bind(_measure_confusion, num_classes), _precision_result, better="max")


def recall(num_classes: int) -> Metric:
    """Of class c, the share that is predicted so: (C,); 0 where the class is absent."""
    return Metric(bind(_measure_confusion, num_classes), _recall_result, better="max")


def _measure_confusion(num_classes: int, prediction: Any, target: Any, weight: jax.Array) -> jax.Array:
    predicted, label, known = _classes("confusion_counts", prediction, target)
    found = 2 if jnp.shape(prediction) == label.shape else jnp.shape(prediction)[-1]
    if num_classes != found:
        raise ValueError(f"confusion_counts: num_classes must be {found} as in prediction, got {num_classes}")
    weight = jnp.expand_dims(weight, tuple(range(1, label.ndim)))
    added = jnp.where((weight != 0) & ~known, jnp.nan, weight)
    label = jnp.where(label < 0, num_classes, label)  # a negative index would count from the end
    return jnp.zeros((num_classes, num_classes), weight.dtype).at[label, predicted].add(added, mode="drop")


def _confusion_result(counts: jax.Array) -> jax.Array:
    return jnp.sum(counts, axis=0)


def _precision_result(counts: jax.Array) -> jax.Array:
    counts = jnp.sum(counts, axis=0)
    return _share(jnp.diagonal(counts), jnp.sum(counts, axis=0))


def _recall_result(counts: jax.Array) -> jax.Array:
    counts = jnp.sum(counts, axis=0)
    return _share(jnp.diagonal(counts), jnp.sum(counts, axis=1))


def _share(part: jax.Array, whole: jax.Array) -> jax.Array:
    return part / jnp.where(whole == 0, 1, whole)


# The area under the ROC curve.


def _measure_roc_auc(prediction: ArrayLike, target: ArrayLike, weight: jax.Array) -> tuple[jax.Array, ...]:
    scores, label = jnp.asarray(prediction), jnp.asarray(target)
    if scores.ndim != 1 or scores.shape != label.shape:
        raise ValueError(f"roc_auc: scores and labels must be (n,), got {scores.shape} and {label.shape}")
    return jnp.where(weight != 0, scores, 0), label > 0, weight


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
roc_auc = Metric(_measure_roc_auc, _roc_auc_result, better="max")


class MetricEntry(NamedTuple):
    """A metric (a factory if it takes arguments), its task, and whether higher is better (None: neither)."""

    metric: Metric | Callable[..., Metric]
    task: str
    higher_is_better: bool | None


METRICS: dict[str, MetricEntry] = {
    "accuracy": MetricEntry(accuracy, "classification", True),
    "zero_one_error": MetricEntry(zero_one_error, "classification", False),
    "top_k_accuracy": MetricEntry(top_k_accuracy, "classification", True),
    "perplexity": MetricEntry(perplexity, "classification", False),
    "confusion_counts": MetricEntry(confusion_counts, "classification", None),
    "precision": MetricEntry(precision, "classification", True),
    "recall": MetricEntry(recall, "classification", True),
    "roc_auc": MetricEntry(roc_auc, "classification", True),
    "mean_squared_error": MetricEntry(mean_squared_error, "regression", False),
    "mean_absolute_error": MetricEntry(mean_absolute_error, "regression", False),
    "r2": MetricEntry(r2, "regression", True),
}
