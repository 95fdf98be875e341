"""Searches along a direction, as plain functions that any method with a direction can call; see `line_search`.

    search(value_fn, params, direction, value, grad, step) -> SearchResult

with value and grad those at params and `step` the first length to try, tries lengths in one compiled loop. The loop holds
a single evaluation of the value and its gradient (most of what a search costs to compile) and carries, beside the gradient
at the last trial, only a few numbers. Value and gradient at the end are handed back, for the next iteration to start from.

Near a minimum phi(t) = f(p + t d) changes by less than the rounding of f, while its slope is still exact. There a trial
that is level with phi(0) is judged by its slope alone, the approximate Wolfe condition of Hager & Zhang 2005. A search
that fails takes the best length that it has seen, which may be 0; it never goes up and never makes NaN.

A value of infinity says that nothing is known at params: the search then evaluates there and moves nothing. A loop that
takes value and gradient from the last search can start so, and holds no other evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdjax import tree
from gdjax.vector import SMALL, flat_dtype, ravel


class SearchResult(NamedTuple):
    step: jax.Array  # () float, the length found; 0 if none makes the value less
    value: jax.Array  # () float, at params + step direction
    grad: Any  # the gradient there, as jax.grad gives it
    evaluations: jax.Array  # () int32, of value and gradient
    failed: jax.Array  # () bool: the conditions do not hold
    guess: jax.Array  # () float, where a search that starts from the last one's length may start


class _Line:
    """phi: the value, its gradient and its slope at a length; and phi(0)."""

    def __init__(self, value_fn, params, direction, value, grad):
        self.dtype = flat_dtype(params)
        self.value_and_grad = jax.value_and_grad(value_fn)
        self.params, self.direction = params, direction
        self.value0 = jnp.asarray(value, self.dtype)
        self.grad0 = tree.cast_like(grad, params)
        self.slope0 = self.slope(grad)

    def slope(self, grad) -> jax.Array:
        """real(g d) summed: JAX's gradient of a real function is the conjugate of the direction of ascent."""
        ascent = jax.tree.map(jnp.conj, grad)
        leaves = [ascent], [self.direction]
        if sum(map(jnp.size, jax.tree.leaves(ascent))) > SMALL:
            leaves = jax.tree.leaves(ascent), jax.tree.leaves(self.direction)
        parts = [jnp.sum(ravel(g, self.dtype) * ravel(d, self.dtype)) for g, d in zip(*leaves, strict=True)]
        return sum(parts, start=jnp.zeros((), self.dtype))

    def at(self, step) -> tuple[jax.Array, Any, jax.Array]:
        """Exactly where `optax.apply_updates` will go."""
        value, grad = self.value_and_grad(optax.apply_updates(self.params, scaled(self.direction, step)))
        return value.astype(self.dtype), tree.cast_like(grad, self.params), self.slope(grad)


def scaled(direction: Any, step: jax.Array) -> Any:
    return jax.tree.map(lambda d: (step * d.astype(jnp.result_type(d, step))).astype(d.dtype), direction)


LOW, HIGH, BEST = range(3)
SEARCHING, LAST, ACCEPTED, GIVEN_UP = range(4)  # LAST: the trial to come is the best seen, for its gradient


class _Zoom(NamedTuple):
    """Small arrays instead of many scalars: on a CPU every output of a loop's body is a kernel to compile."""

    step: jax.Array  # to try next; at the end, the one tried last
    value: jax.Array
    grad: Any
    evaluations: jax.Array
    points: jax.Array  # (3, 3): LOW, HIGH and BEST by step, value and slope; HIGH is at infinity until one is seen
    status: jax.Array


def strong_wolfe(
    value_fn: Callable[[Any], jax.Array],
    params: Any,
    direction: Any,
    value: Any,
    grad: Any,
    step: Any,
    *,
    slope_rtol: Any = 1e-4,
    curv_rtol: Any = 0.9,
    noise_rtol: Any = 1e-6,
    max_step: Any = jnp.inf,
    max_evaluations: Any = 20,
    precision: Any = 1e-5,
) -> SearchResult:
    """A length at which the value has decreased enough and the slope has flattened enough.

        phi(t) <= phi(0) + slope_rtol t phi'(0)     and     |phi'(t)| <= curv_rtol |phi'(0)|

    An interval [low, high] that must hold such a length is kept: low lies below the line of sufficient decrease and still
    goes down, high lies above it or goes up. The next trial is the minimum of the cubic through both (through both slopes
    alone where their values are level), kept off the ends, halfway if the interval does not shrink; while there is no
    high, it is an extrapolation of the slope.

    Args: as `zoom` names them.
    """
    line = _Line(value_fn, params, direction, value, grad)
    dtype, value0, slope0 = line.dtype, line.value0, line.slope0

    def body(c: _Zoom) -> _Zoom:
        value, grad, slope = line.at(c.step)
        noise = noise_rtol * jnp.abs(value0)
        rise, promised, remaining = value - value0, slope_rtol * (c.step * slope0), slope / slope0
        decreased = rise <= promised
        flat = jnp.abs(remaining) <= curv_rtol
        level = (jnp.abs(rise) <= noise) & (remaining <= curv_rtol) & (remaining + 1 >= 2 * slope_rtol)
        at_the_end = (c.step >= max_step) & (slope < 0)
        accepted = level | (decreased & (flat | at_the_end)) | (unknown & jnp.isfinite(value))
        low = (rise <= promised + noise) & (slope < 0)  # false for NaN
        kinds = jnp.stack([low, ~low, decreased & (value < c.points[BEST, 1])])
        points = jnp.where(kinds[:, None], jnp.stack([c.step, value, slope]), c.points)
        width = points[HIGH, 0] - points[LOW, 0]
        narrow = jnp.isfinite(width) & (width <= precision * points[HIGH, 0])
        still = (rise == 0) & (slope == slope0)  # too short a step to move the parameters
        last = (c.evaluations + 1 >= max_evaluations) | narrow | still
        over = unknown | (c.status == LAST) | (last & (points[BEST, 0] == c.step))
        status = jnp.where(accepted, ACCEPTED, jnp.where(over, GIVEN_UP, jnp.where(last, LAST, SEARCHING)))
        trial = jnp.minimum(_next_trial(c.points, points, noise), max_step)
        step = jnp.where(accepted | over, c.step, jnp.where(last, points[BEST, 0], trial))
        return _Zoom(step.astype(dtype), value, grad, c.evaluations + 1, points, status.astype(jnp.int32))

    unknown, descends = value0 == jnp.inf, (slope0 < 0) & jnp.isfinite(value0)
    here = jnp.stack([jnp.zeros((), dtype), value0, slope0])
    begin = jnp.where(descends | unknown, SEARCHING, jnp.where(slope0 == 0, ACCEPTED, GIVEN_UP))
    state = _Zoom(
        step=jnp.where(descends, jnp.minimum(jnp.asarray(step, dtype), max_step), 0).astype(dtype),
        value=value0,
        grad=line.grad0,
        evaluations=jnp.zeros((), jnp.int32),
        points=jnp.stack([here, jnp.full(3, jnp.inf, dtype), here]),
        status=begin.astype(jnp.int32),
    )
    end = jax.lax.while_loop(lambda c: c.status < ACCEPTED, body, state)
    guess = jnp.where(end.step > 0, end.step, jnp.minimum(end.points[HIGH, 0], 1))
    return SearchResult(end.step, end.value, end.grad, end.evaluations, end.status == GIVEN_UP, guess)


def _next_trial(before: jax.Array, points: jax.Array, noise: jax.Array) -> jax.Array:
    (low, low_value, low_slope), (high, high_value, high_slope), _ = points
    width = high - low
    d1 = low_slope + high_slope - 3 * (high_value - low_value) / width
    d2 = jnp.sqrt(jnp.maximum(d1 * d1 - low_slope * high_slope, 0))
    cubic = 1 - (high_slope + d2 - d1) / (high_slope - low_slope + 2 * d2)
    secant = low_slope / (low_slope - high_slope)
    share = jnp.where((jnp.abs(high_value - low_value) <= noise) & (high_slope > 0), secant, cubic)
    share = jnp.where(jnp.isfinite(share), jnp.clip(share, 0.1, 0.9), 0.1)  # not finite: far too long a step
    shrinks = width <= 0.66 * (before[HIGH, 0] - before[LOW, 0])  # true for the first interval: from infinity
    stretch = low_slope / (before[LOW, 2] - low_slope)
    stretch = jnp.where(stretch > 0, jnp.clip(stretch, 0.1, 9), 4)  # where the slope steepens it tells nothing
    inside = low + width * jnp.where(shrinks, share, 0.5)
    return jnp.where(jnp.isfinite(high), inside, low + stretch * (low - before[LOW, 0]))


class _Backtrack(NamedTuple):
    step: jax.Array
    value: jax.Array
    grad: Any
    evaluations: jax.Array
    accepted: jax.Array


def armijo(
    value_fn: Callable[[Any], jax.Array],
    params: Any,
    direction: Any,
    value: Any,
    grad: Any,
    step: Any,
    *,
    slope_rtol: Any = 1e-4,
    decrease_factor: Any = 0.8,
    noise_rtol: Any = 1e-6,
    atol: Any = 0.0,
    rtol: Any = 0.0,
    max_evaluations: Any = 20,
) -> SearchResult:
    """The first of step, step decrease_factor, step decrease_factor², ... at which the value has decreased enough.

        phi(t) <= phi(0) + slope_rtol t phi'(0) + rtol |phi(0)| + atol

    Args: as `backtracking` names them.
    """
    line = _Line(value_fn, params, direction, value, grad)
    noise, slack = noise_rtol * jnp.abs(line.value0), rtol * jnp.abs(line.value0) + atol
    unknown, descends = line.value0 == jnp.inf, (line.slope0 < 0) & jnp.isfinite(line.value0)

    def body(c: _Backtrack) -> _Backtrack:
        step = jnp.where(c.evaluations > 0, decrease_factor * c.step, c.step).astype(line.dtype)
        value, grad, slope = line.at(step)
        rise = value - line.value0
        level = (rise <= noise) & (slope <= (2 * slope_rtol - 1) * line.slope0)
        return _Backtrack(
            step, value, grad, c.evaluations + 1, unknown | level | (rise <= slope_rtol * step * line.slope0 + slack)
        )

    start = _Backtrack(
        step=jnp.where(unknown, 0, step).astype(line.dtype),
        value=line.value0,
        grad=line.grad0,
        evaluations=jnp.zeros((), jnp.int32),
        accepted=~(descends | unknown),
    )
    end = jax.lax.while_loop(lambda c: ~c.accepted & (c.evaluations < max_evaluations), body, start)
    found = end.accepted & (descends | (unknown & jnp.isfinite(end.value)))
    value, grad = tree.select(found, (end.value, end.grad), (line.value0, line.grad0))
    length = jnp.where(found, end.step, 0).astype(line.dtype)
    guess = jnp.where(unknown, step, end.step).astype(line.dtype)
    return SearchResult(length, value, grad, end.evaluations, ~found & (line.slope0 != 0), guess)
