"""A line search for the strong Wolfe conditions, by bracketing and interpolation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax.optimizers.linesearch.search import Line, SearchResult, line_searcher, noise_floor
from gdjax.types import ArrayLike

LOW, HIGH, BEST = range(3)


SEARCHING, LAST, ACCEPTED, GIVEN_UP = range(4)  # LAST: evaluate the best trial once more, for its gradient


class _Zoom(NamedTuple):
    """The carry, small arrays in place of many scalars, since XLA:CPU compiles a kernel for each output of a loop."""

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
    """A length that satisfies the strong Wolfe conditions.

        phi(t) <= phi(0) + slope_rtol t phi'(0)     and     |phi'(t)| <= curv_rtol |phi'(0)|

    An interval [low, high] that contains such a length is maintained: low is below the line of sufficient decrease and has a
    negative slope; high is above the line or has a positive slope. The next trial is the minimum of the cubic interpolant
    (of the slopes alone if the values agree within rounding), kept away from the ends, or the midpoint if the interval does
    not shrink. As long as there is no high, the trial extrapolates the slope.

    Args: as `zoom` names them.
    """
    line = Line(value_fn, params, direction, value, grad)
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


@line_searcher(
    static=("initial_guess_strategy",),
    bounds={
        "max_linesearch_steps": "[1, inf)",
        "max_learning_rate": "(0, inf]",
        "slope_rtol": "(0, 1)",
        "curv_rtol": "(0, inf]",
        "approx_dec_rtol": "[0, inf) or None",
        "stepsize_precision": "[0, 1)",
    },
    ints=("max_linesearch_steps",),
)
def zoom(
    max_linesearch_steps: int = 20,
    max_learning_rate: ArrayLike | None = None,
    slope_rtol: ArrayLike = 1e-4,
    curv_rtol: ArrayLike = 0.9,
    approx_dec_rtol: ArrayLike | None = 1e-6,
    stepsize_precision: ArrayLike = 1e-5,
    initial_guess_strategy="one",
):
    """A length of sufficient decrease and small slope (the strong Wolfe conditions), by cubic interpolation.

        f(p + t d) <= f(p) + slope_rtol t <g, d>,      |<g(p + t d), d>| <= curv_rtol |<g, d>|

    Args:
        max_linesearch_steps: evaluations of value and gradient, at least 1 (and one more if the search fails).
        max_learning_rate: > 0, the longest step; None has none.
        slope_rtol: in (0, 1); the share of the decrease promised by the slope that must be had.
        curv_rtol: > 0; the share of the slope that may remain: 0.9 for Newton-like directions, 0.1 for conjugate
            gradients; inf asks for decrease alone.
        approx_dec_rtol: >= 0; values that differ by this share of |value| (at least 16 ulp) are level; None: none are.
        stepsize_precision: in [0, 1); an interval this narrow, relative to its end, is searched no further.
        initial_guess_strategy: "one" starts at 1 (Newton-like directions), "keep" at the length found last.

    Reference: Nocedal & Wright 2006, Algorithms 3.5 and 3.6; Hager & Zhang 2005, section 4 (approximate Wolfe).

    >>> opt, x = gd.line_search(gd.sgd(1.0), gd.zoom()), jnp.array(2.0)
    >>> print(opt.update(2 * x, opt.init(x), x, value_fn=lambda x: x**2)[0])
    -2.0
    """
    if initial_guess_strategy not in ("one", "keep"):
        raise ValueError(f"zoom: initial_guess_strategy must be 'one' or 'keep', got {initial_guess_strategy!r}")

    def first(previous):
        return jnp.ones_like(previous) if initial_guess_strategy == "one" else previous

    def search(value_fn, params, direction, value, grad, step):
        return strong_wolfe(
            value_fn,
            params,
            direction,
            value,
            grad,
            step,
            slope_rtol=slope_rtol,
            curv_rtol=curv_rtol,
            noise_rtol=noise_floor(approx_dec_rtol, params),
            max_step=jnp.inf if max_learning_rate is None else max_learning_rate,
            max_evaluations=max_linesearch_steps,
            precision=stepsize_precision,
        )

    return first, search
