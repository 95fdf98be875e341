"""Ant colony optimization in a continuous space: new points are drawn near those of an archive of good points."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax.search._method import method
from gdjax.vector import flat_dtype, ravel, unravel


class ColonyState(NamedTuple):
    params: Any
    value: jax.Array
    done: jax.Array
    archive: jax.Array  # (size, n), the best first
    values: jax.Array  # (size,)


@method(
    static=("archive", "ants"),
    bounds={"sigma": "(0, inf)", "archive": "[2, inf)", "ants": "[1, inf)", "q": "(0, inf)", "xi": "(0, inf)"},
    ints=("archive", "ants"),
)
def ant_colony(sigma=1.0, archive: int = 50, ants: int = 10, q=0.1, xi=0.85):
    """ACO_R: each ant follows an archived point, the better the likelier, and steps around it as far as others lie from it.

        P(follow the l-th best) ~ exp(-(l - 1)² / (2 q² k²)),      k the size of the archive
        x_i ~ N(s_li, xi sum_e |s_ei - s_li| / (k - 1))            for each coordinate i

    Args:
        sigma: > 0, parameter units; the spread of the first archive around the start.
        archive: points remembered, at least 2.
        ants: new points in each step, at least 1 (the paper takes 2).
        q: > 0; small follows the best alone (the paper takes 1e-4), large follows all alike.
        xi: > 0; the larger, the slower it converges.

    Reference: Socha & Dorigo 2008, European Journal of Operational Research 185(3), section 3.

    >>> f = lambda x: jnp.sum((x - 1.0) ** 2)
    >>> print(jnp.round(gd.minimize(f, jnp.zeros(2), gd.search.ant_colony(), max_steps=100).params, 1))
    [1. 1.]
    """

    def init(params, value, key, value_fn):
        x = ravel(params, flat_dtype(params))
        others = x + sigma * jax.random.normal(key, (archive - 1, x.size), x.dtype)
        inside, values = value_fn.at(jax.vmap(lambda x: unravel(x, params))(others))
        others = jax.vmap(lambda params: ravel(params, x.dtype))(inside)
        return keep_best(params, jnp.concatenate([x[None], others]), jnp.concatenate([value[None], values]))

    def keep_best(params, points, values):
        order = jnp.argsort(values, stable=True)[:archive]
        points, values = points[order], values[order]
        return ColonyState(unravel(points[0], params), values[0], jnp.zeros((), bool), points, values)

    def ask(state, key, value_fn):
        follow_key, step_key = jax.random.split(key)
        weights = -((jnp.arange(archive) / (q * archive)) ** 2) / 2
        chosen = state.archive[jax.random.categorical(follow_key, weights, shape=(ants,))]
        spread = xi * jnp.sum(jnp.abs(state.archive - chosen[:, None]), axis=1) / (archive - 1)
        drawn = chosen + spread * jax.random.normal(step_key, chosen.shape, chosen.dtype)
        return jax.vmap(lambda x: unravel(x, state.params))(drawn), state

    def tell(state, candidates, values):
        flat = jax.vmap(lambda x: ravel(x, state.archive.dtype))(candidates)
        points, values = jnp.concatenate([state.archive, flat]), jnp.concatenate([state.values, values])
        return keep_best(state.params, points, values)

    return init, ask, tell
