"""The laws of metrics, checked by `check_metric`."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

from gdjax.laws.check import Case, Laws, Report, run
from gdjax.laws.strategies import DRAWS
from gdjax.metrics import Metric

LAWS = Laws()
_CHUNKS = 3


@dataclasses.dataclass
class _Trial:
    metric: Metric
    prediction: Any
    target: Any
    examples: int

    @property
    def rows(self) -> int:
        return jnp.shape(self.target)[0]

    @property
    def weight(self) -> np.ndarray:
        """Weights of every kind; with ten rows or more, at least one row of each class has a positive weight."""
        return np.resize(np.array([1.0, 0.5, 0.0, 2.0, 1.0], np.float32), self.rows)

    def value(self, prediction: Any, target: Any, weight: Any) -> np.ndarray:
        """The metric, compiled; equal metrics share the program."""
        return np.asarray(_compiled(self.metric, prediction, target, jnp.asarray(weight, float)))


_compiled = jax.jit(lambda metric, prediction, target, weight: metric(prediction, target, weight), static_argnums=0)


def _chunks(metric: Metric, predictions: Any, targets: Any, weights: Any) -> jax.Array:
    return metric.result(jax.vmap(metric.measure)(predictions, targets, weights))


_in_chunks = jax.jit(_chunks, static_argnums=0)


def check_metric(
    metric: Metric,
    prediction: Any,
    target: Any,
    *,
    exceptions: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    examples: int = 10,
    all: bool = False,
) -> Report:
    """Test the laws of metrics on a metric, with given rows.

    Args:
        metric: a `gdjax.metrics.Metric`.
        prediction, target: arguments of the metric, rows first; at least ten rows, for which it is defined.
        examples: >= 0, number of splits into chunks that Hypothesis draws.
        exceptions, only, all: as in `check_optimizer`.

    Raises: LawBroken.

    >>> from gdjax import laws
    >>> bool(laws.check_metric(gd.metrics.mean_squared_error, jnp.arange(12.0), jnp.ones(12), only=["value", "order"]))
    True
    """
    if not isinstance(metric, Metric):
        raise TypeError(f"check_metric: metric must be a gdjax.metrics.Metric, got {metric!r}")
    exceptions = exceptions or {}
    prediction, target = jax.tree.map(np.asarray, (prediction, target))

    def trials() -> Iterator[tuple[str, _Trial]]:
        rows = len(target)
        for n in sorted({min(n, rows) for n in (2, 3, 5, rows)}):
            yield (
                f"the first {n} of {rows} rows",
                _Trial(metric, *_take(slice(n), (prediction, target)), examples=examples),
            )

    return run(LAWS.pick(only, exceptions), repr(metric), trials, exceptions, all)


def _take(rows: Any, trees: tuple[Any, ...]) -> Any:
    return jax.tree.map(lambda x: x[rows], trees)


def _close(case: str, found: Any, expected: Any) -> None:
    try:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    except AssertionError as error:
        raise Case(case, error) from error


@LAWS.law("value", "It has a value, and is hashable, so that a compiled program knows it.")
def _value(trial: _Trial) -> None:
    hash(trial.metric)
    value = trial.value(trial.prediction, trial.target, np.ones(trial.rows))
    assert not np.isnan(value).any(), f"the value is {value}"


@LAWS.law(
    "eager", "Compilation does not change the value; no weights are weights of 1, and a mask is weights of 0 and 1."
)
def _eager(trial: _Trial) -> None:
    both, mask = (trial.prediction, trial.target), trial.weight > 0
    _close("no weights", trial.metric(*both), trial.value(*both, np.ones(trial.rows)))
    _close("a mask", trial.metric(*both, mask), trial.value(*both, mask))


@LAWS.law("weights", "Only the ratios of weights matter, unless the metric counts.")
def _weights(trial: _Trial) -> None:
    once, more = (trial.value(trial.prediction, trial.target, factor * trial.weight) for factor in (1, 4))
    _close("weights four times as large", more, 4 * once if trial.metric.counts else once)


@LAWS.law("order", "The order of the rows does not matter.")
def _order(trial: _Trial) -> None:
    backward = _take(slice(None, None, -1), (trial.prediction, trial.target, trial.weight))
    expected = trial.value(trial.prediction, trial.target, trial.weight)
    _close("the rows backward", trial.value(*backward), expected)


@LAWS.law("masked", "A row of weight 0 has no influence, not even if it holds NaN or no label.")
def _mask(trial: _Trial) -> None:
    dead = trial.weight == 0
    poisoned = [_poison(x, dead) for x in (trial.prediction, trial.target)]
    expected = trial.value(trial.prediction, trial.target, trial.weight)
    _close(f"NaN in rows {np.flatnonzero(dead)}, of weight 0", trial.value(*poisoned, weight=trial.weight), expected)


def _poison(tree: Any, dead: np.ndarray) -> Any:
    """The tree with NaN, or for integers an invalid class, in the rows of weight 0."""

    def poison(x: np.ndarray) -> np.ndarray:
        filler = np.nan if np.issubdtype(x.dtype, np.floating) else 10**6
        return np.where(dead.reshape(-1, *[1] * (x.ndim - 1)), filler, x).astype(x.dtype)

    return jax.tree.map(poison, tree)


@LAWS.law("shows", "If a row of positive weight is NaN, the value is NaN.")
def _shows(trial: _Trial) -> None:
    every = np.ones(trial.rows, bool)
    value = trial.value(_poison(trial.prediction, every), trial.target, np.ones(trial.rows))
    assert np.isnan(value).any(), f"predictions of NaN have the value {value}"


@LAWS.law("chunks", "The value does not depend on how the rows are split into chunks, with some of them masked.")
def _splits(trial: _Trial) -> None:
    row = st.tuples(st.integers(-1, _CHUNKS - 1), st.sampled_from([1.0, 0.0, 0.25, 3.0]))

    @hypothesis.settings(DRAWS, max_examples=max(1, trial.examples))
    @hypothesis.given(st.lists(row, min_size=trial.rows, max_size=trial.rows))
    def any_split(drawn):
        chunk, weight = np.array([c for c, _ in drawn]), np.array([w for _, w in drawn], np.float32)
        weights = np.where(np.arange(_CHUNKS)[:, None] == chunk, weight, 0).astype(np.float32)
        pieces = [[_poison(x, w == 0) for w in weights] for x in (trial.prediction, trial.target)]
        stacked = [jax.tree.map(lambda *xs: np.stack(xs), *piece) for piece in pieces]
        whole = trial.value(trial.prediction, trial.target, np.where(chunk >= 0, weight, 0))
        split = _in_chunks(trial.metric, stacked[0], stacked[1], jnp.asarray(weights))
        _close(f"rows in chunks {chunk.tolist()} (-1: none), weights {weight.tolist()}", split, whole)

    any_split()
