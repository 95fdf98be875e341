"""Backtracking line search: Armijo's condition of sufficient decrease."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.optimizers.linesearch.search import Line, SearchResult, line_searcher, noise_floor
from gdjax.optimizers.linesearch.zoom import zoom
from gdjax.types import ArrayLike


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
    line = Line(value_fn, params, direction, value, grad)
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


@line_searcher(
    bounds={
        "max_backtracking_steps": "[1, inf)",
        "slope_rtol": "(0, 1)",
        "decrease_factor": "(0, 1)",
        "increase_factor": "[1, inf]",
        "max_learning_rate": "(0, inf)",
        "atol": "[0, inf)",
        "rtol": "[0, inf)",
        "approx_dec_rtol": "[0, inf) or None",
    },
    ints=("max_backtracking_steps",),
    like=zoom,
)
def backtracking(
    max_backtracking_steps: int = 20,
    slope_rtol: ArrayLike = 1e-4,
    decrease_factor: ArrayLike = 0.8,
    increase_factor: ArrayLike = 1.5,
    max_learning_rate: ArrayLike = 1.0,
    atol: ArrayLike = 0.0,
    rtol: ArrayLike = 0.0,
    *,
    approx_dec_rtol: ArrayLike | None = 1e-6,
):
    """A length of sufficient decrease (Armijo's condition), by shortening.

        f(p + t d) <= f(p) + slope_rtol t <g, d>,      t the first of step, step decrease_factor, step decrease_factor², ...

    Args:
        max_backtracking_steps: evaluations of value and gradient, at least 1; after them the step is 0.
        slope_rtol: in (0, 1); the share of the decrease promised by the slope that must be had.
        decrease_factor: in (0, 1); what a failed length is multiplied by.
        increase_factor: >= 1; the first trial is this times the length found last; inf starts at max_learning_rate.
        max_learning_rate: > 0, the longest step.
        atol, rtol: >= 0; the rise that is forgiven, in units of the value and relative to it.
        approx_dec_rtol: as in `zoom`.

    Differs from: optax.scale_by_backtracking_linesearch, which shortens to 0 where the decrease is lost in rounding, and
        steps up by the last trial if all have failed.
    Reference: Armijo 1966; Nocedal & Wright 2006, Algorithm 3.1.

    >>> opt, x = gd.line_search(gd.sgd(1.0), gd.backtracking()), jnp.array(2.0)
    >>> print(opt.update(2 * x, opt.init(x), x, value_fn=lambda x: x**2)[0])
    -3.2
    """

    def first(previous):
        return jnp.minimum(increase_factor * previous, max_learning_rate).astype(previous.dtype)

    def search(value_fn, params, direction, value, grad, step):
        return armijo(
            value_fn,
            params,
            direction,
            value,
            grad,
            step,
            slope_rtol=slope_rtol,
            decrease_factor=decrease_factor,
            noise_rtol=noise_floor(approx_dec_rtol, params),
            atol=atol,
            rtol=rtol,
            max_evaluations=max_backtracking_steps,
        )

    return first, search
