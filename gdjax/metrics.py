"""Metrics that reduce rightly, over masked rows and over chunks.

A mean of chunk means is no mean, and no average of chunk areas is the area under a curve. So a metric is a
pair: `measure` keeps of one chunk what the answer needs (sums, moments, counts or the scores themselves), and
`result` makes the answer of the stacked stats of all. However the rows are split, it is that of the whole:

    result(stack(measure(chunk) for chunk in chunks)) = metric(prediction, target, weight)

Called, a metric does both for one array. A row of weight 0 has no influence, not even if it holds NaN; what
has no value (the mean of no rows, the area under the curve of one class) is NaN. Weights are at least 0 (a negative one is
NaN, and a ValueError where it is concrete); to all but counts only their ratios matter, whatever their size.

Predictions are scores: (n, C) of them with (n,) int classes, where the highest wins and the first of equals;
or (n,) with labels (n,) in {0, 1} or {-1, +1}, where a score > 0 means the positive class. A label that is none of these
makes the value NaN; called with concrete arrays, a metric raises a ValueError that says so. Further axes are averaged.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gdjax.calls import is_concrete
from gdjax.data import as_arrays
from gdjax.domain import BINARY, SUMMABLE, WEIGHTS, classes, overhear, whole_numbers, within
from gdjax.losses import absolute_error, softmax_cross_entropy_with_integer_labels, squared_error
from gdjax.measures import better_direction, mean_result, measure_mean
from gdjax.programs import bind
from gdjax.tree import abs_sq, arithmetic_dtype, rescale, widen


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric as (measure, result); equal by value.

    measure: (prediction (n, ...), target (n, ...), weight (n,) float) -> a chunk's stats, a pytree of arrays.
    result: stats stacked along a new first axis, that of the chunks -> the value.
    better: "min" or "max", the direction in which it improves; None where it has none or does not know.
    of_one: (prediction, target) -> the value of one example, where the metric is a mean over examples.
    counts: whether the value grows with the weights; of any other metric only their ratios matter.
    """

    measure: Callable[[Any, Any, jax.Array], Any]
    result: Callable[[Any], jax.Array]
    better: str | None = None
    of_one: Callable[[Any, Any], jax.Array] | None = None
    counts: bool = False

    def __post_init__(self) -> None:
        if self.better not in (None, "min", "max"):
            raise ValueError(f"Metric: better must be 'min', 'max' or None, got {self.better!r}")

    def __call__(self, prediction: Any, target: Any, weight: ArrayLike | None = None) -> jax.Array:
        prediction, target = as_arrays("metric", (prediction, target))
        if not jnp.ndim(target) and weight is None:
            return self._of_one(prediction, target)
        w = _weights(weight, jnp.shape(target)[0], self.counts)
        found = self._value(prediction, target, w)
        if is_concrete(found) and np.isnan(found).any():  # let what was mapped over rows say what it was given
            rows = np.flatnonzero(np.asarray(w))
            with overhear():
                self._value(*jax.tree.map(lambda x: jnp.asarray(x)[rows], (prediction, target, w)))
        return found

    def _of_one(self, prediction: Any, target: Any) -> jax.Array:
        """In a loss of one example."""
        if self.of_one is None:
            raise ValueError(
                "metric: all rows are needed at once, (n, ...), got one example; write "
                "make_evaluate(loss, metrics={...}, predict=model.apply)"
            )
        return self.of_one(widen(prediction), target)

    def _value(self, prediction: Any, target: Any, weight: jax.Array) -> jax.Array:
        stats = self.measure(prediction, target, weight)
        return self.result(jax.tree.map(lambda x: x[None], stats))


def _weights(weight: ArrayLike | None, n: int, counts: bool) -> jax.Array:
    """(n,) float, of usual size unless they are to be counted."""
    if weight is None:
        return jnp.ones(n)
    within("metric", "weight", weight, WEIGHTS)
    if is_concrete(weight) and not counts:
        weight = np.asarray(weight, np.float64)
        weight = np.ldexp(weight, -np.frexp(np.max(weight, initial=0))[1])
    w = jnp.asarray(weight).astype(float)
    if w.shape != (n,):
        raise ValueError(f"metric: weight must have shape ({n},), got {w.shape}")
    w = w * within("metric", "weight", w, SUMMABLE)
    return w if counts else rescale(w)


# Of one example, for `mean` and for the metrics of `supervised`.


def correct(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """1 where the predicted class is the label, else 0; NaN scores are never right.

    Shapes: prediction (..., C), target (...) int in [0, C), or both (...), target in {0, 1} or {-1, +1}
    -> (...) float.
    Raises: ValueError for other shapes, C = 1 or a label that is none (NaN where it is traced), TypeError if classes are not
        integers.
    """
    predicted, label, known, valid = _classes("correct", prediction, target)
    return _where_valid(valid, (predicted == label) & known)


def zero_one(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """1 - correct: the zero-one loss, bounded from above by the hinge. Shapes and errors as for `correct`."""
    return 1 - correct(prediction, target)


def in_top_k(prediction: ArrayLike, target: ArrayLike, k: int) -> jax.Array:
    """1 where the label is among the k classes of highest score (the first of equals), else 0.

    Shapes: prediction (..., C), target (...) int in [0, C) -> (...).   Raises: ValueError unless 1 <= k <= C.
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
    """The value as a float, NaN where it is not valid; a product would not do: XLA takes NaN times a bool for a choice."""
    return jnp.where(jnp.isnan(valid), jnp.nan, value.astype(float))


def _classes(
    who: str, prediction: ArrayLike, target: ArrayLike, counted: Any = True
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The predicted class, the true one, whether the scores are numbers, a factor that is NaN for no label: each (...)."""
    scores, label = jnp.asarray(prediction), whole_numbers(target)
    given = target if is_concrete(target) else label  # before an int64 wraps
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


# Means over examples.


def mean(function: Callable[[Any, Any], jax.Array], better: str | None = None) -> Metric:
    """sum_i w_i f(prediction_i, target_i) / sum_i w_i, of any function of one example.

    Args:
        better: "min" or "max"; None is the function's own direction, if it is one of ours or a loss of Optax's.
    """
    of_one = bind(function)
    return Metric(bind(measure_mean, of_one), mean_result, better or better_direction(function), of_one)


def _perplexity_result(stats: tuple[jax.Array, jax.Array]) -> jax.Array:
    return jnp.exp(mean_result(stats))


def top_k_accuracy(k: int) -> Metric:
    """The share of labels that are among the k classes of highest score.

    Differs from: sklearn.metrics.top_k_accuracy_score in ties: of equal scores it takes the last.
    """
    return mean(bind(in_top_k, k=k))


accuracy: Metric = mean(correct)
zero_one_error: Metric = mean(zero_one)
mean_squared_error: Metric = mean(squared_error)
mean_absolute_error: Metric = mean(absolute_error)
perplexity: Metric = Metric(  # e^(nats per label)
    bind(measure_mean, softmax_cross_entropy_with_integer_labels), _perplexity_result, better="min"
)


# The coefficient of determination.


def _squares(values: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """sum w |v|² over the first axis, as (s, u): s in units of u², u the largest |v|, so that no square overflows."""
    unit = jnp.max(jnp.where(weight != 0, jnp.abs(values), 0), axis=0, initial=0)
    unit = jnp.minimum(unit, jnp.finfo(unit.dtype).max / 16)  # whose reciprocal is a normal number
    return jnp.sum(weight * abs_sq(values / _or_one(unit)), axis=0, where=weight != 0), unit


def _or_one(x: jax.Array) -> jax.Array:
    return jnp.where(x == 0, 1, x)


def _spread(values: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The mean, and sum w |v - mean|² as `_squares`, about the first row that counts (constants: exact)."""
    first = values[jnp.argmax(jnp.ravel(weight) != 0)]
    moved = jnp.where(weight != 0, values - first, 0)
    total = jnp.sum(weight)
    unit = _or_one(jnp.minimum(jnp.max(jnp.abs(moved), axis=0, initial=0), jnp.finfo(total.dtype).max / 16))
    shift = jnp.sum(weight / _or_one(total) * (moved / unit), axis=0) * unit
    return first + shift, *_squares(moved - shift, weight)


def _merge(squares: jax.Array, units: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The sum over chunks of what `_squares` gave, likewise."""
    unit = jnp.max(units, axis=0)
    return jnp.sum(squares * jnp.square(units / _or_one(unit)), axis=0), unit


def _measure_r2(prediction: ArrayLike, target: ArrayLike, weight: jax.Array) -> tuple[jax.Array, ...]:
    if jnp.shape(prediction) != jnp.shape(target):
        raise ValueError(
            f"r2: prediction and target must have one shape, got {jnp.shape(prediction)} and {jnp.shape(target)}"
        )
    dtype = arithmetic_dtype(prediction, target)
    prediction, target = jnp.asarray(prediction, dtype), jnp.asarray(target, dtype)
    counts = jnp.expand_dims(weight, tuple(range(1, target.ndim)))
    return jnp.sum(weight), *_squares(prediction - target, counts), *_spread(target, counts)


def _r2_result(stats: tuple[jax.Array, ...]) -> jax.Array:
    weight, residuals, residual_units, means, within_chunks, units = stats
    _, between, between_unit = _spread(means, jnp.expand_dims(weight, tuple(range(1, means.ndim))))
    residual, residual_unit = _merge(residuals, residual_units)
    within_all, within_unit = _merge(within_chunks, units)
    total, unit = _merge(jnp.stack([within_all, between]), jnp.stack([within_unit, between_unit]))
    share = residual / _or_one(total) * jnp.square(residual_unit / _or_one(unit))
    score = jnp.where((total == 0) & (residual > 0), 0, 1 - share)
    return jnp.where(jnp.sum(weight) == 0, jnp.nan, jnp.mean(score))


# 1 - sum w (y - prediction)² / sum w (y - mean y)², (n, ...), the mean over outputs. Of a constant target it
# is 1 if predicted exactly, else 0, as in sklearn.metrics.r2_score (which wants two rows). Chunks merge by
# their means and spreads (Chan, Golub & LeVeque 1983), so that a large mean does not cancel.
r2: Metric = Metric(_measure_r2, _r2_result, better="max")


# Counts of (true, predicted) classes.


def confusion_counts(num_classes: int) -> Metric:
    """Weight of the examples of true class i predicted as j, (C, C); NaN where scores are NaN.

    Counts are exact up to 2^24, beyond they are rounded once or twice (float32). Of weights, rows are added in lanes of 64
    (of C² / 16 for more than 32 classes) and lanes pairwise: their sum is right to about 64 (C² / 16) x 3e-8.
    """
    return Metric(bind(_measure_confusion, num_classes), _confusion_result, counts=True)


def precision(num_classes: int) -> Metric:
    """Of what is predicted as class c, the share that is: (C,); 0 where nothing is predicted so."""
    return Metric(bind(_measure_confusion, num_classes), _precision_result, better="max")


def recall(num_classes: int) -> Metric:
    """Of class c, the share that is predicted so: (C,); 0 where the class is absent."""
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
    """The sum of the weights in each cell, (C, C): row i goes into lane i mod L, whose cells are added pairwise."""
    rows = len(weight)
    lanes = max(1, min(-(-rows // 64), 16 * rows // num_classes**2))
    lane = jnp.arange(rows) % lanes
    cells = jnp.zeros((lanes, num_classes, num_classes), weight.dtype).at[lane, label, predicted].add(weight)
    return _pairwise_sum(cells)


def _pairwise_sum(x: jax.Array) -> jax.Array:
    """The sum over the first axis, halves upon halves."""
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
    return part / _or_one(whole)


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
