"""The two forms of a metric, converted to one; names of metrics, and their better directions.

    a metric of `gdjax.metrics`, or any object with `measure` and `result`
    metric(prediction, y)        -> a number for one example, whose mean over rows is taken

Sums over chunks of rows are divided once.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from gdjax.tree import arithmetic_dtype, widen

LIFTED = frozenset({"weight", "penalty"})  # the metrics that `per_example` itself writes
_OF_HISTORY = {"step", "epoch", "learning_rate", "learning_rate_min", "learning_rate_max", "skipped"}
RESERVED = LIFTED | {"loss", "change"} | _OF_HISTORY  # and those of the loop and its history
_OF_LOSSES = {f"gdjax.losses.{kind}" for kind in ("regression", "binary", "classes", "distributions")}


def check_names(who: str, names: Iterable[Any], allowed: frozenset[str] = frozenset()) -> None:
    """Raise ValueError for a metric with a reserved name."""
    for name in names:
        if name in RESERVED - allowed or str(name).startswith("validation_"):
            taken = ", ".join(sorted(RESERVED - allowed))
            raise ValueError(
                f"{who}: metrics must not be named {taken} or validation_..., which are taken, got {name!r}"
            )


def check_same_shapes(who: str, whole: dict[str, Any], tail: dict[str, Any], rows: int, ragged: int) -> None:
    """Raise ValueError if the shape of a metric depends on the number of rows, so that it has no mean over rows."""
    for name, x in whole.items():
        shapes = [jax.tree.map(jnp.shape, jax.tree.leaves(each)) for each in (x, tail.get(name, ()))]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{who}: a metric must have one shape whatever the number of rows (a mean over them), got {name!r} of "
                f"{shapes[0]} for {rows} rows and {shapes[1]} for {ragged}"
            )


def named_metrics(who: str, metrics: Any) -> dict[str, Any]:
    """The dict of metrics, checked: each is one of `gdjax.metrics` or a function of one example, (prediction, y) -> number.

    Raises: TypeError for a metric without a name, for a factory that has not been called, and for any other object.
    """
    if hasattr(metrics, "measure") or callable(metrics) or isinstance(metrics, str):
        raise TypeError(f'{who}: metrics must be by name, write {{"name": metric}}, got {name_of(metrics)} alone')
    try:
        named = dict(metrics)
    except (TypeError, ValueError):
        raise TypeError(f'{who}: metrics must be by name, write {{"name": metric}}, got {metrics!r}') from None
    for name, metric in named.items():
        if not hasattr(metric, "measure") and not callable(metric):
            raise TypeError(
                f"{who}: the metric {name!r} must be one of gdjax.metrics or a function (prediction, y) -> number, got "
                f"{metric!r}"
            )
        if not hasattr(metric, "measure") and _returns_metric(metric):
            raise TypeError(
                f"{who}: the metric {name!r} must be called with its arguments, {_signature_of(metric)}, got it alone"
            )
    return named


def _returns_metric(function: Any) -> bool:
    return getattr(function, "__annotations__", {}).get("return") == "Metric"


def _signature_of(factory: Any) -> str:
    return f"metrics.{factory.__name__}({', '.join(inspect.signature(factory).parameters)})"


def name_of(metric: Any) -> str:
    return getattr(metric, "__name__", None) or ("a metric" if hasattr(metric, "measure") else repr(metric))


@dataclasses.dataclass(frozen=True)
class Mean:
    """A function of one example as a metric: its weighted mean over rows."""

    function: Callable[[Any, Any], Any]

    @property
    def better(self) -> str | None:
        return better_direction(self.function)

    def measure(self, prediction: Any, target: Any, weight: jax.Array) -> Any:
        return measure_mean(self.function, prediction, target, weight)

    def result(self, stats: Any) -> jax.Array:
        return mean_result(stats)


def as_metric(metric: Any) -> Any:
    """A metric in either form as a `Measure`; a function of one example becomes its mean."""
    return metric if hasattr(metric, "measure") else Mean(metric)


def measure_mean(
    function: Callable[..., Any], prediction: Any, target: Any, weight: jax.Array
) -> tuple[jax.Array, jax.Array]:
    values = jax.vmap(function)(*jax.tree.map(widen, (prediction, target)))
    values = jnp.mean(values, axis=tuple(range(1, values.ndim)), dtype=arithmetic_dtype(values))
    return jnp.sum(weight * values, where=weight != 0), jnp.sum(weight)


def mean_result(stats: tuple[jax.Array, jax.Array]) -> jax.Array:
    total, weight = stats
    return jnp.sum(total) / jnp.sum(weight)


def better_direction(metric: Any) -> str | None:
    """ "min" or "max", the direction in which a metric or a loss, ours or Optax's, is better; None of any other function.

    >>> print(gd.losses.better_direction(gd.metrics.accuracy), gd.losses.better_direction(gd.losses.huber))
    max min
    """
    while hasattr(metric, "keywords"):  # a partial, of functools or one that compares by value
        metric = getattr(metric, "func", None) or getattr(metric, "function", None)
    if (better := getattr(metric, "better", None)) is not None:
        return better
    module = getattr(metric, "__module__", None) or ""
    if module in _OF_LOSSES or module.startswith("optax.losses"):
        return "max" if metric.__name__.endswith("similarity") else "min"
    return None


def better_directions(loss: Any) -> dict[str, str]:
    """Name -> "min" or "max": the better direction of the loss, and of those of its metrics that know one.

    >>> loss = gd.losses.supervised(gd.models.linear_regression(1), gd.squared_error)
    >>> print(gd.losses.better_directions(gd.per_example(loss)))
    {'loss': 'min'}
    """
    return {**getattr(loss, "directions", {}), "loss": "min"}
