"""Metrics of regression: mean errors, and the share of the variance that is explained."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gdjax.losses import absolute_error, squared_error
from gdjax.metrics.metric import Metric, mean, or_one
from gdjax.tree import abs_sq, arithmetic_dtype

mean_squared_error: Metric = mean(squared_error)
mean_absolute_error: Metric = mean(absolute_error)


def _squares(values: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """sum w |v|² over the first axis as (s, u): s in units of u² with u the largest |v|, so that no square overflows."""
    unit = jnp.max(jnp.where(weight != 0, jnp.abs(values), 0), axis=0, initial=0)
    unit = jnp.minimum(unit, jnp.finfo(unit.dtype).max / 16)  # whose reciprocal is a normal number
    return jnp.sum(weight * abs_sq(values / or_one(unit)), axis=0, where=weight != 0), unit


def _spread(values: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The mean, and sum w |v - mean|² as in `_squares`, computed relative to the first row, so that constants are exact."""
    first = values[jnp.argmax(jnp.ravel(weight) != 0)] if len(values) else jnp.zeros(values.shape[1:], values.dtype)
    offsets = jnp.where(weight != 0, values - first, 0)
    total = jnp.sum(weight)
    unit = or_one(jnp.minimum(jnp.max(jnp.abs(offsets), axis=0, initial=0), jnp.finfo(total.dtype).max / 16))
    shift = jnp.sum(weight / or_one(total) * (offsets / unit), axis=0) * unit
    return first + shift, *_squares(offsets - shift, weight)


def _merge(squares: jax.Array, units: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The sum over chunks of results of `_squares`, in the same form."""
    unit = jnp.max(units, axis=0)
    return jnp.sum(squares * jnp.square(units / or_one(unit)), axis=0), unit


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
    share = residual / or_one(total) * jnp.square(residual_unit / or_one(unit))
    score = jnp.where((total == 0) & (residual > 0), 0, 1 - share)
    return jnp.where(jnp.sum(weight) == 0, jnp.nan, jnp.mean(score))


# 1 - sum w (y - prediction)² / sum w (y - mean y)², (n, ...), the mean over outputs. Of a constant target it
# is 1 if predicted exactly, else 0, as in sklearn.metrics.r2_score (which wants two rows). Chunks merge by
# their means and spreads (Chan, Golub & LeVeque 1983), so that a large mean does not cancel.
r2: Metric = Metric(_measure_r2, _r2_result, better="max")
