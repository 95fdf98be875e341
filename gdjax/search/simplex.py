"""The method of Nelder and Mead, which moves a simplex of n + 1 points by comparing values."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.projections.sets import project_params
from gdjax.search._method import method, stop_code
from gdjax.vector import flat_dtype, ravel, unravel

REFLECTED, EXPANDED, OUTSIDE, INSIDE = range(4)


class SimplexState(NamedTuple):
    params: Any
    value: jax.Array
    done: jax.Array
    points: jax.Array  # (n + 1, n), the best first
    values: jax.Array  # (n + 1,)
    size: jax.Array  # (n,) size of the first simplex
    highest: jax.Array  # () largest finite value in it
    lost: jax.Array  # () bool, whether a step was too short to change its coordinate
    rest_value: jax.Array | None  # () value at the last convergence; None without a set
    restart: jax.Array | None  # () bool, whether the next step builds a new simplex


@method(bounds={"step": "(0, inf)", "xtol": "[0, inf)", "ftol": "[0, inf)"})
def nelder_mead(step=0.05, xtol=1e-6, ftol=1e-6):
    """Nelder-Mead: the worst corner of a simplex is mirrored through the others, further or less far as it pays.

    A step asks for all that may follow at once: the reflection, the expansion, both contractions and the n points of a
    shrunken simplex. It starts at x and at x with each coordinate moved by `step`, relative to it where it is not 0 and
    the value shows it (the other way where a set does not let it).

    Args:
        step: > 0, the size of the first simplex.
        xtol, ftol: >= 0; done when all corners are near the best x and its value v, in every coordinate and in value:
            within xtol max(|x|, min(s, 1)), s the first simplex's size, and ftol min(h - v, max(|v|, 1)), h its highest
            value. So small units are no reason to stop.

    A set folds the simplex flat onto its bounds, where it may come to rest at no minimum. There it begins afresh at the best
    corner, in its first size, until it comes to rest twice at the same value.

    It is for few parameters; up to about ten. Coefficients adapt to their number n: 1, 1 + 2/n, 0.75 - 1/(2n), 1 - 1/n.
    Reference: Nelder & Mead 1965, The Computer Journal 7(4); Gao & Han 2012, Comput. Optim. Appl. 51(1) (coefficients).

    >>> f = lambda x: jnp.sum((x - 1.0) ** 2)
    >>> print(jnp.round(gd.minimize(f, jnp.zeros(2), gd.search.nelder_mead()).params, 1))
    [1. 1.]
    """

    def init(params, value, key, value_fn):
        x = ravel(params, flat_dtype(params))
        axes = _first_axes(x, step, params, value, value_fn)
        corners, values = _evaluate(around(x, axes, params, value_fn.onto), params, value_fn)
        points, values = _sort(jnp.concatenate([x[None], corners]), jnp.concatenate([value[None], values]))
        highest = jnp.max(jnp.where(jnp.isfinite(values), values, values[0]))
        size, lost = jnp.abs(jnp.diagonal(axes)), jnp.any(x + jnp.diagonal(axes) == x)
        running = jnp.zeros((), jnp.int32)
        state = SimplexState(
            unravel(points[0], params), values[0], running, points, values, size, highest, lost, None, None
        )
        if value_fn.onto is None:
            return state
        return state._replace(rest_value=jnp.full_like(value, jnp.inf), restart=jnp.zeros((), bool))

    def ask(state, key, value_fn):
        best, others, worst = state.points[0], state.points[1:], state.points[-1]
        _, expand, contract, shrink = _coefficients(others.shape[1])
        center = jnp.mean(state.points[:-1], axis=0)
        ways = jnp.stack([jnp.ones(()), expand, contract, -contract]).astype(best.dtype)
        tried = center + ways[:, None] * (center - worst)
        corners = best + shrink * (others - best)
        if state.restart is not None:
            axes = jnp.diag(jnp.maximum(state.size, jnp.asarray(step, best.dtype) * jnp.abs(best)))
            corners = jnp.where(state.restart, around(best, axes, state.params, value_fn.onto), corners)
        flat = jnp.concatenate([tried, corners])
        return jax.vmap(lambda x: unravel(x, state.params))(flat), state

    def tell(state, candidates, values):
        points, values = _next_simplex(state, jax.vmap(lambda x: ravel(x, state.points.dtype))(candidates), values)
        near = xtol * jnp.maximum(jnp.abs(points[0]), jnp.minimum(state.size, 1))
        fall = state.highest - values[0]
        level = ftol * jnp.minimum(fall, jnp.maximum(jnp.abs(values[0]), 1))
        level = jnp.maximum(level, 4 * jnp.finfo(values.dtype).eps * fall)  # rounding may allow no less
        done = jnp.all(jnp.abs(points[1:] - points[0]) <= near) & (values[-1] - values[0] <= level)
        if state.restart is not None:
            rests, done = done, done & ~(values[0] < state.rest_value - level)
            state = state._replace(rest_value=jnp.where(rests, values[0], state.rest_value), restart=rests & ~done)
        return state._replace(
            params=unravel(points[0], state.params),
            value=values[0],
            done=stop_code(done, state.lost),
            points=points,
            values=values,
        )

    return init, ask, tell


def _first_axes(x: jax.Array, step: Any, params: Any, value: jax.Array, value_fn: Any) -> jax.Array:
    """The edges (n, n) of the first simplex: `step`, relative to a nonzero coordinate if that changes the value."""
    length = jnp.asarray(step, x.dtype)
    relative = jnp.where(jnp.abs(x) > jnp.sqrt(jnp.finfo(x.dtype).tiny), length * x, length)
    _, values = _evaluate(x + jnp.diag(relative), params, value_fn)
    differs = jnp.abs(values - value) > 16 * jnp.finfo(values.dtype).eps * jnp.abs(value)
    return jnp.diag(jnp.where(differs | (jnp.abs(x) > 1), relative, length))


def _evaluate(points: jax.Array, params: Any, value_fn: Any) -> tuple[jax.Array, jax.Array]:
    """The points (m, n) projected onto the set, and their values."""
    inside, values = value_fn.at(jax.vmap(lambda x: unravel(x, params))(points))
    return jax.vmap(lambda params: ravel(params, points.dtype))(inside), values


def _next_simplex(state: SimplexState, tried: jax.Array, values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The next simplex and its values, from the candidates: four for the worst corner, then n of the shrunken simplex."""
    reflected, expanded, outside, inside = values[:4]
    best, second_worst, worst = state.values[0], state.values[-2], state.values[-1]
    far = jnp.where(expanded < reflected, EXPANDED, REFLECTED)
    near = jnp.where(reflected < worst, OUTSIDE, INSIDE)
    choice = jnp.where(reflected < best, far, jnp.where(reflected < second_worst, REFLECTED, near))
    good_enough = jnp.where(choice == OUTSIDE, outside <= reflected, inside < worst)
    shrinks = ((choice == OUTSIDE) | (choice == INSIDE)) & ~good_enough
    shrinks = shrinks if state.restart is None else shrinks | state.restart
    replaced = state.points.at[-1].set(tried[choice]), state.values.at[-1].set(values[choice])
    shrunken = state.points.at[1:].set(tried[4:]), state.values.at[1:].set(values[4:])
    return _sort(*tree.select(shrinks, shrunken, replaced))


def around(x: jax.Array, axes: jax.Array, like: Any, onto: Any) -> jax.Array:
    """x plus each of the axes (n, n), or minus it if the set would project the point back."""
    if onto is None:
        return x + axes

    def stays(point):
        return jnp.max(jnp.abs(ravel(project_params("minimize", onto, unravel(point, like)), x.dtype) - x))

    there, other = x + axes, x - axes
    back = jax.vmap(stays)(other) > 1.5 * jax.vmap(stays)(there)
    return jnp.where(back[:, None], other, there)


def _sort(points: jax.Array, values: jax.Array) -> tuple[jax.Array, jax.Array]:
    order = jnp.argsort(values, stable=True)
    return points[order], values[order]


def _coefficients(n: int) -> tuple[float, Any, Any, float]:
    """Reflection, expansion, contraction, shrinking."""
    n = max(n, 2)
    return 1.0, jnp.asarray(1 + 2 / n), jnp.asarray(0.75 - 1 / (2 * n)), 1 - 1 / n
