"""Levenberg-Marquardt for curves: one start, or many in one program; within bounds, by holding what they hold back.

The steps are those of `gdjax.levenberg_marquardt`. A parameter at its bound whose gradient points outward is held there
for a step; a step is cut at the bounds, and judged by what was left of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.optimizers.second_order.least_squares import Model, adapt, has_lost_parameters, is_nothing, linearize
from gdjax.types import Stop
from gdjax.vector import dot

Array: TypeAlias = Any  # of JAX, or on the host of NumPy

SURE = 3  # tests of convergence that must hold in a row
REFUSED = 16  # steps refused in a row, after which no step is long enough to change anything


class Rows(NamedTuple):
    """What a curve is fitted to: n rows, p parameters."""

    columns: tuple[Array, ...]  # (n,) each, in the order of the formula's columns
    y: Array  # (n,)
    weight: Array  # (n,) square roots of the weights
    low: Array  # (p,) bounds, -inf where there is none
    high: Array  # (p,)


class Descent(NamedTuple):
    """The carry of the loop, and its end."""

    params: Array  # (p,)
    value: Array  # () 1/2 sum weight² residuals²
    scale: Array  # (p,) the largest norm of each column of the Jacobian so far
    damping: Array
    growth: Array
    sure: Array  # () int32, tests of convergence that have held in a row
    refused: Array  # () int32, steps refused in a row
    steps: Array  # () int32
    stop: Array  # () int32, a `Stop`


@dataclasses.dataclass(frozen=True)
class Solver:
    """(rows, starts (lanes, p), max_steps) -> Descent of lanes; compared by value."""

    curve: Callable[..., Any]  # (columns, params) -> (n,)

    def __call__(self, rows: Rows, starts: jax.Array, max_steps: Any) -> Descent:
        return jax.vmap(lambda start: self.solve(rows, start, max_steps))(starts)

    def residuals(self, rows: Rows) -> Callable[[jax.Array], jax.Array]:
        """The weighted residuals as a function of the parameters."""
        return lambda params: rows.weight * (self.curve(rows.columns, params) - rows.y)

    def solve(self, rows: Rows, start: jax.Array, max_steps: Any) -> Descent:
        """From one start."""
        residuals = self.residuals(rows)
        zero, one = jnp.zeros((), jnp.int32), jnp.ones((), start.dtype)
        params = jnp.clip(start, rows.low, rows.high)
        value = 0.5 * jnp.sum(residuals(params) ** 2)
        first = Descent(params, value, jnp.zeros_like(params), 1e-3 * one, 2 * one, zero, zero, zero, zero)
        going = lambda c: (c.stop == Stop.RUNNING) & (c.steps < max_steps)  # noqa: E731
        end = jax.lax.while_loop(going, lambda c: _step(residuals, rows, c), first)
        return end._replace(stop=jnp.where(end.stop == Stop.RUNNING, Stop.BUDGET, end.stop))


def _step(residuals: Callable[[jax.Array], jax.Array], rows: Rows, c: Descent) -> Descent:
    """One step, taken or refused, and the reason to stop, if there is one."""
    dtype, eps = c.params.dtype, jnp.finfo(c.params.dtype).eps
    r, jacobian, function = linearize(residuals, c.params, dtype)
    longest = jnp.maximum(c.scale, jnp.linalg.norm(jacobian, axis=0))
    scale = jnp.where(longest > 0, longest, 1)
    gone = has_lost_parameters(jacobian, r, c.params, longest)
    held = is_held(rows, c.params, dot(r, jacobian))
    jacobian = jnp.where(held, 0, jacobian)
    model = Model.of(jacobian, r, scale)  # whose undamped step is not finite where a parameter is held
    new = jnp.clip(c.params + model.step(c.damping) / scale, rows.low, rows.high)
    change, r_new = dot(jacobian, new - c.params), function(new)
    promised, decrease = -dot(change, r + 0.5 * change), 0.5 * dot(r - r_new, r + r_new)
    good, damping, growth = adapt(c.damping, c.growth, decrease, promised)
    lost = (promised <= 4 * eps * c.value) & (jnp.abs(decrease) <= 4 * eps * c.value)
    there = is_nothing(model.whole_step(), scale * c.params) | lost
    sure = jnp.where(there & ~gone, c.sure + 1, 0)
    refused = jnp.where(good, 0, c.refused + 1)
    finite = jnp.isfinite(r).all() & jnp.isfinite(jacobian).all()
    stop = jnp.where(refused >= REFUSED, Stop.STALLED, Stop.RUNNING)
    stop = jnp.where(sure >= SURE, Stop.CONVERGED, stop)
    return Descent(
        params=jnp.where(good, new, c.params),
        value=jnp.where(good, 0.5 * dot(r_new, r_new), c.value),
        scale=longest,
        damping=damping,
        growth=growth,
        sure=sure,
        refused=refused,
        steps=c.steps + 1,
        stop=jnp.where(finite, stop, Stop.NON_FINITE).astype(jnp.int32),
    )


def is_held(rows: Rows, params: jax.Array, gradient: jax.Array) -> jax.Array:
    """(p,) which parameters stand at a bound that descent would cross."""
    return ((params <= rows.low) & (gradient > 0)) | ((params >= rows.high) & (gradient < 0))


def noise_of(rows: Rows) -> float:
    """1/2 the sum of squares that rounding alone can make of a perfect fit."""
    return float(0.5 * np.sum((64 * np.finfo(float).eps * np.asarray(rows.weight * rows.y)) ** 2))
