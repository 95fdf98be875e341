"""BFGS: the inverse Hessian, estimated from steps and changes of the gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import refuse_integers
from gdjax.optimizers.linesearch.searcher import searcher, with_rate
from gdjax.optimizers.linesearch.zoom import zoom
from gdjax.optimizers.own_gradient import of_own_gradient
from gdjax.optimizers.second_order.lbfgs import lbfgs
from gdjax.optimizers.second_order.secant import bowl_like, first_scale, prepare, rate_at
from gdjax.types import ScalarOrSchedule
from gdjax.vector import dot, flat_dtype, ravel, unravel


class BFGSState(NamedTuple):
    """With n the number of real parameters."""

    count: jax.Array
    params: jax.Array  # (n,)
    updates: jax.Array  # (n,)
    inverse_hessian: jax.Array  # (n, n)
    pairs: jax.Array  # () int32
    linesearch: Any


@optimizer(bounds={"learning_rate": "[0, inf)"}, like=lbfgs)
def bfgs(learning_rate: ScalarOrSchedule | None = None, linesearch: Any = zoom(curv_rtol=0.5)):  # noqa: B008
    """BFGS: an inverse Hessian kept as a matrix, corrected by every step.

        H <- (I - s y'/s'y) H (I - y s'/s'y) + s s'/s'y       from H = (s'y/y'y) I at the first pair
        u = -learning_rate t H g                               t from the line search

    Args:
        learning_rate: what the search starts from (the step itself if linesearch is None); number or schedule (default: 1).
        linesearch: as in `lbfgs`. Its curv_rtol is 0.5: the scale of the first pair is that of the steepest direction, and
            unit steps along the others, which 0.9 accepts, correct it slowly (59 steps against 22, condition 1,000).

    Memory: n + 3 x params, n the number of parameters (in float32 at least).   Raises: ValueError if update is called
        without a `value_fn=` to search.
    Reference: Nocedal & Wright 2006, Algorithm 6.1 and equation 6.20.

    >>> opt, x = gd.bfgs(linesearch=None), jnp.ones(2)
    >>> grad, update = jax.grad(lambda x: x[0] ** 2 + 5 * x[1] ** 2), jax.jit(opt.update)
    >>> updates, state = update(grad(x), opt.init(x), x)
    >>> print(updates, update(grad(x + updates), state, x + updates)[0])
    [-0.19612 -0.98058] [-0.17505 -0.044573]
    """
    init_search, search = searcher(linesearch)

    def init(params):
        refuse_integers("bfgs", params)
        p, count = ravel(params, flat_dtype(params)), jnp.zeros((), jnp.int32)
        zero = jnp.zeros_like(p)
        return BFGSState(count, zero, zero, jnp.eye(p.size, dtype=p.dtype), count, init_search(params))

    def update(grads, state, params=None, **extra_args):
        given = prepare("bfgs", grads, params, linesearch, extra_args)
        p, g = (ravel(x, state.params.dtype) for x in (params, grads))
        inverse, pairs = _correct(state, p - state.params, g - state.updates)
        usable = (pairs > 0) & jnp.isfinite(g).all()
        direction = jnp.where(usable, dot(inverse, g), first_scale(g) * g)
        updates = unravel(-rate_at(learning_rate, state.count) * direction, params)
        updates, found = search(updates, state.linesearch, params, **given)
        return updates, BFGSState(tree.increment(state.count), p, g, inverse, pairs.astype(jnp.int32), found)

    return with_rate(init, of_own_gradient(update, linesearch is not None), learning_rate, linesearch)


def _correct(state: BFGSState, s: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The inverse Hessian after a pair, and the number of pairs; restarted if a step has changed nothing."""
    sy, yy = dot(s, y), dot(y, y)
    good, nothing_changed = bowl_like(state.count, dot(s, s), sy, yy), yy == 0
    s, y, sy = jnp.where(good, s, 0), jnp.where(good, y, 0), jnp.where(good, sy, 1)
    inverse = state.inverse_hessian * jnp.where(good & (state.pairs == 0), sy / jnp.where(good, yy, 1), 1)
    h_y = dot(inverse, y)
    cross = jnp.outer(s, h_y) / sy
    inverse = inverse - cross - cross.T + jnp.outer(s, s) * ((1 + dot(y, h_y) / sy) / sy)
    inverse = jnp.where(nothing_changed, jnp.eye(len(s), dtype=s.dtype), inverse)
    return inverse, jnp.where(nothing_changed, 0, jnp.where(good, tree.increment(state.pairs), state.pairs))
