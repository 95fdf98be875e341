"""A metric: what is kept of each chunk, and what the answer makes of it; and means over examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gdjax.calls import is_concrete
from gdjax.data import as_arrays
from gdjax.domain import SUMMABLE, WEIGHTS, overhear, within
from gdjax.measures import better_direction, mean_result, measure_mean
from gdjax.programs import bind
from gdjax.tree import rescale, widen


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric as (measure, result); compared by value.

    measure: (prediction (n, ...), target (n, ...), weight (n,) float) -> a chunk's stats, a pytree of arrays.
    result: stats stacked along a new first axis, that of the chunks -> the value.
    better: "min" or "max", the direction in which it improves; None where it has none or does not know.
    of_one: (prediction, target) -> the value of one example, where the metric is a mean over examples.
    counts: whether the value grows with the weights; of any other metric only their ratios matter.

    >>> scores, labels = jnp.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]]), jnp.array([0, 1, 1])
    >>> print(gd.metrics.accuracy(scores, labels), gd.metrics.accuracy(scores, labels, weight=jnp.array([1.0, 1.0, 0.0])))
    0.66667 1.0
    >>> print(gd.metrics.zero_one_error(scores, labels), jax.jit(gd.metrics.perplexity)(scores, labels))
    0.33333 3.4043
    >>> print(gd.metrics.bits_per_token(jnp.zeros((3, 8)), labels))
    3.0
    >>> x, y = jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1])
    >>> print(jax.jit(gd.metrics.roc_auc)(x, y), gd.metrics.mean_squared_error(x, y), gd.metrics.mean_absolute_error(x, y))
    0.75 0.15812 0.3375
    >>> print(gd.metrics.r2(jnp.array([1.0, 2.0, 4.0]), jnp.array([1.0, 2.0, 3.0])))
    0.5
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
        shape = jnp.shape(jax.tree.leaves(target)[0])
        if not shape and weight is None:
            return self._of_one(prediction, target)
        w = _weights(weight, shape[0], self.counts)
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
                "make_evaluate(loss, metrics={...}, predict=model)"
            )
        return self.of_one(widen(prediction), target)

    def _value(self, prediction: Any, target: Any, weight: jax.Array) -> jax.Array:
        stats = self.measure(prediction, target, weight)
        return self.result(jax.tree.map(lambda x: x[None], stats))


def _weights(weight: ArrayLike | None, n: int, counts: bool) -> jax.Array:
    """The weights, (n,) float, rescaled unless they are counted."""
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


def mean(function: Callable[[Any, Any], jax.Array], better: str | None = None) -> Metric:
    """The weighted mean of any function of one example, as a metric.

        sum_i w_i f(prediction_i, target_i) / sum_i w_i

    Args:
        function: (prediction, target) of one example -> a number, or an array that is averaged.
        better: "min" or "max"; None means the function's own direction, if it is one of ours or a loss of Optax's.

    >>> print(gd.metrics.mean(gd.losses.absolute_error)(jnp.array([1.0, 2.0]), jnp.array([1.0, 5.0])))
    1.5
    """
    of_one = bind(function)
    return Metric(bind(measure_mean, of_one), mean_result, better or better_direction(function), of_one)


def or_one(x: jax.Array) -> jax.Array:
    return jnp.where(x == 0, 1, x)
