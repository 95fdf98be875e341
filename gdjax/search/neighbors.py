"""Methods that compare the values at neighboring points."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax.search._method import FixedState, best_of, method, stack, stop_code, too_short
from gdjax.vector import flat_dtype, ravel, unravel


def _axes(params: Any, length: Any) -> jax.Array:
    """(n, n): a step of the given length along each axis."""
    dtype = flat_dtype(params)
    return length * jnp.eye(ravel(params, dtype).size, dtype=dtype)


def _shift(params: Any, steps: jax.Array) -> Any:
    """params + each of the steps (k, n)."""
    flat = ravel(params, steps.dtype)
    return jax.vmap(lambda step: unravel(flat + step, params))(steps)


def _start(params: Any, value: jax.Array, key: jax.Array, value_fn: Any) -> FixedState:
    return FixedState(params, value, jnp.zeros((), jnp.int32))


@method(bounds={"step": "(0, inf)"})
def fixed_step(step=0.01):
    """The search by fixed steps: try f(x + e) and f(x - e) along each axis, go to the lower, stop where neither is.

    The answer is right to within e, and takes |distance| / e steps of 2 n evaluations.

    Args:
        step: > 0, parameter units.

    >>> f = lambda x: jnp.sum((x - 1.0) ** 2)
    >>> found = gd.minimize(f, jnp.zeros(2), gd.search.fixed_step(0.25))
    >>> print(found.params, found.steps)
    [1. 1.] 8
    """

    def ask(state, key, value_fn):
        axes = _axes(state.params, step)
        return _shift(state.params, jnp.concatenate([axes, -axes])), state

    def tell(state, candidates, values):
        params, value, improved = best_of(state, candidates, values)
        return FixedState(params, value, stop_code(~improved, too_short(state.params, step)))

    return _start, ask, tell


@method(bounds={"step": "(0, inf)"})
def sign_step(step=0.01):
    """The search by the sign of the derivative: it says which way is down, so that one side need not be tried.

        x <- x - e sign(f'(x)),        stop where neither x + e s nor x - e s is lower, s the signs

    Args:
        step: > 0, parameter units, along every axis at once.

    >>> f = lambda x: jnp.sum((x - 1.0) ** 2)
    >>> found = gd.minimize(f, jnp.zeros(2), gd.search.sign_step(0.25))
    >>> print(found.params, found.steps)
    [1. 1.] 4
    """

    def ask(state, key, value_fn):
        signs = jax.tree.map(jnp.sign, jax.grad(value_fn.f)(state.params))
        ways = (jax.tree.map(lambda p, s, way=way: p + way * step * s, state.params, signs) for way in (-1, 1))
        return stack(*ways), state

    def tell(state, candidates, values):
        down = jax.tree.map(lambda x: x[0], candidates)
        lower = jnp.min(values) < state.value
        params = jax.tree.map(lambda a, b: jnp.where(lower, a, b), down, state.params)
        stuck = too_short(state.params, step)
        return FixedState(params, jnp.where(lower, values[0], state.value), stop_code(~lower, stuck))

    return _start, ask, tell


class CoordinateState(NamedTuple):
    params: Any
    value: jax.Array
    done: jax.Array
    axis: jax.Array  # () int32, the next to try
    step: jax.Array  # () float
    failures: jax.Array  # () int32, axes in a row without a better point


@method(bounds={"step": "(0, inf)", "shrink": "(0, 1)", "grow": "[1, inf)", "tolerance": "(0, inf)"})
def coordinate(step=1.0, shrink=0.5, grow=2.0, tolerance=1e-6):
    """Coordinate search: one axis after the other, both ways; a longer step where that helps, a shorter where nothing does.

    Args:
        step: > 0, parameter units, the first.
        shrink: in (0, 1), when a whole round over the axes has found nothing better.
        grow: at least 1, after a better point.
        tolerance: > 0; the step below which it is done.

    Reference: Hooke & Jeeves 1961; Kolda, Lewis & Torczon 2003, SIAM Review 45(3), section 3.

    >>> f = lambda x: jnp.sum((x - 1.0) ** 2)
    >>> found = gd.minimize(f, jnp.zeros(2), gd.search.coordinate())
    >>> print(found.params, found.steps)
    [1. 1.] 45
    """

    def init(params, value, key, value_fn):
        zero = jnp.zeros((), jnp.int32)
        return CoordinateState(params, value, zero, zero, jnp.asarray(step, flat_dtype(params)), zero)

    def ask(state, key, value_fn):
        one = _axes(state.params, state.step)[state.axis]
        return _shift(state.params, jnp.stack([one, -one])), state

    def tell(state, candidates, values):
        n = ravel(state.params, flat_dtype(state.params)).size
        params, value, improved = best_of(state, candidates, values)
        failures = jnp.where(improved, 0, state.failures + 1)
        nothing = failures >= n
        length = jnp.where(improved, grow * state.step, jnp.where(nothing, shrink * state.step, state.step))
        axis = (state.axis + 1) % n
        done = stop_code(length < tolerance, too_short(state.params, step))
        return CoordinateState(params, value, done, axis, length, jnp.where(nothing, 0, failures))

    return init, ask, tell
