"""The simplex of Nelder and Mead: n + 1 points that walk, stretch and shrink by comparing values alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.optimizers.flat import flat_dtype, ravel, unravel
from gdjax.search.loop import method

REFLECTED, EXPANDED, OUTSIDE, INSIDE = range(4)


class SimplexState(NamedTuple):
    params: Any
    value: jax.Array
    done: jax.Array
    points: jax.Array  # (n + 1, n), the best first
    values: jax.Array  # (n + 1,)


@method(bounds={"step": "(0, inf)", "xtol": "[0, inf)", "ftol": "[0, inf)"})
def nelder_mead(step=0.05, xtol=1e-6, ftol=1e-6):
    """Nelder-Mead: the worst corner of a simplex is mirrored through the others, further or less far as it pays.

    A step asks for all that may follow at once: the reflection, the expansion, both contractions and the n points of a
    shrunken simplex. It starts at x and at x with each coordinate moved by `step`, relative to it where it is not 0.

    Args:
        step: > 0, the size of the first simplex.
        xtol, ftol: >= 0; done when all corners are within xtol of the best in every coordinate, and ftol in value.

    It is for few parameters; up to about ten. Coefficients adapt to their number n: 1, 1 + 2/n, 0.75 - 1/(2n), 1 - 1/n.
    Reference: Nelder & Mead 1965, The Computer Journal 7(4); Gao & Han 2012, Comput. Optim. Appl. 51(1) (coefficients).
    """

    def init(params, value, key, value_fn):
        x = ravel(params, flat_dtype(params))
        corners = x + jnp.diag(jnp.where(x != 0, step * x, step))
        values = jax.vmap(lambda x: value_fn(unravel(x, params)))(corners)
        points, values = _sorted(jnp.concatenate([x[None], corners]), jnp.concatenate([value[None], values]))
        return SimplexState(unravel(points[0], params), values[0], jnp.zeros((), bool), points, values)

    def ask(state, key, value_fn):
        best, others, worst = state.points[0], state.points[1:], state.points[-1]
        _, expand, contract, shrink = _coefficients(others.shape[1])
        centre = jnp.mean(state.points[:-1], axis=0)
        ways = jnp.stack([jnp.ones(()), expand, contract, -contract]).astype(best.dtype)
        tried = centre + ways[:, None] * (centre - worst)
        flat = jnp.concatenate([tried, best + shrink * (others - best)])
        return jax.vmap(lambda x: unravel(x, state.params))(flat), state

    def tell(state, candidates, values):
        flat = jax.vmap(lambda x: ravel(x, state.points.dtype))(candidates)
        reflected, expanded, outside, inside = values[:4]
        best, second_worst, worst = state.values[0], state.values[-2], state.values[-1]
        far = jnp.where(expanded < reflected, EXPANDED, REFLECTED)
        near = jnp.where(reflected < worst, OUTSIDE, INSIDE)
        choice = jnp.where(reflected < best, far, jnp.where(reflected < second_worst, REFLECTED, near))
        good_enough = jnp.where(choice == OUTSIDE, outside <= reflected, inside < worst)
        shrinks = ((choice == OUTSIDE) | (choice == INSIDE)) & ~good_enough
        replaced = state.points.at[-1].set(flat[choice]), state.values.at[-1].set(values[choice])
        shrunken = state.points.at[1:].set(flat[4:]), state.values.at[1:].set(values[4:])
        points, values = _sorted(*tree.select(shrinks, shrunken, replaced))
        wide = jnp.max(jnp.abs(points[1:] - points[0]))
        done = (wide <= xtol) & (values[-1] - values[0] <= ftol)
        return SimplexState(unravel(points[0], state.params), values[0], done, points, values)

    return init, ask, tell


def _sorted(points: jax.Array, values: jax.Array) -> tuple[jax.Array, jax.Array]:
    order = jnp.argsort(values, stable=True)
    return points[order], values[order]


def _coefficients(n: int) -> tuple[float, Any, Any, float]:
    """Reflection, expansion, contraction, shrinking."""
    n = max(n, 2)
    return 1.0, jnp.asarray(1 + 2 / n), jnp.asarray(0.75 - 1 / (2 * n)), 1 - 1 / n
