"""Nonlinear conjugate gradients."""

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
from gdjax.optimizers.second_order.secant import descending, first_scale, prepare, rate_at
from gdjax.types import ArrayLike, ScalarOrSchedule
from gdjax.vector import dot, flat_dtype, ravel, unravel

CG_METHODS = ("fletcher_reeves", "polak_ribiere", "hestenes_stiefel", "dai_yuan", "hager_zhang")


class NonlinearCGState(NamedTuple):
    """With n the number of real parameters."""

    count: jax.Array
    updates: jax.Array  # (n,) the gradient at the last update
    direction: jax.Array  # (n,)
    learning_rate: jax.Array  # () the length of the last step in units of its direction
    linesearch: Any


@optimizer(
    static=("method",), bounds={"learning_rate": "[0, inf)", "restart": "(0, inf]"}, like=lbfgs, constant=("restart",)
)
def nonlinear_cg(
    learning_rate: ScalarOrSchedule | None = None,
    method="polak_ribiere",
    restart: ArrayLike = 0.2,
    linesearch: Any = zoom(curv_rtol=0.1),  # noqa: B008
):
    """Nonlinear conjugate gradients: each direction bends the last one instead of forgetting it.

        d <- -g + beta d,      u = learning_rate t d                   t from the line search
        beta = g'g / g*'g*                  fletcher_reeves            g* the gradient before, y = g - g*
        beta = max(0, g'y / g*'g*)          polak_ribiere
        beta = max(0, g'y / d'y)            hestenes_stiefel
        beta = g'g / d'y                    dai_yuan
        beta = max(eta, (y - 2 d y'y/d'y)'g / d'y)          hager_zhang,   eta = -1 / (|d| min(0.01, |g*|))

    It starts again from d = -g where successive gradients are far from orthogonal, |g'g*| >= restart g'g, where d does not
    descend, and after a step of length 0. The search first tries the length that promises as much as the last step did.

    Args:
        learning_rate: scales the first trial (the step itself if linesearch is None); number or schedule (default: 1).
        method: one of the five above.
        restart: > 0; inf never restarts for lack of orthogonality.
        linesearch: as in `lbfgs`; the theory asks for curv_rtol < 1/2.

    Memory: 3 x params (in float32 at least).   Raises: ValueError for another method, or if update is called without a
        `value_fn=` to search.
    Reference: Nocedal & Wright 2006, section 5.2; Hager & Zhang 2005, SIAM J. Optim. 16(1).

    >>> opt, x = gd.nonlinear_cg(0.05, linesearch=None), jnp.ones(2)
    >>> grad, update = jax.grad(lambda x: x[0] ** 2 + 5 * x[1] ** 2), jax.jit(opt.update)
    >>> updates, state = update(grad(x), opt.init(x), x)
    >>> print(updates, update(grad(x + updates), state, x + updates)[0])
    [-0.1 -0.5] [-0.09 -0.25]
    """
    if method not in CG_METHODS:
        raise ValueError(f"nonlinear_cg: method must be one of {', '.join(CG_METHODS)}, got {method!r}")
    init_search, search = searcher(linesearch)

    def init(params):
        refuse_integers("nonlinear_cg", params)
        zero = jnp.zeros_like(ravel(params, flat_dtype(params)))
        rate = jnp.zeros((), zero.dtype)
        return NonlinearCGState(jnp.zeros((), jnp.int32), zero, zero, rate, init_search(params))

    def update(grads, state, params=None, **extra_args):
        given = prepare("nonlinear_cg", grads, params, linesearch, extra_args)
        g, old = ravel(grads, state.updates.dtype), state.updates
        gg = dot(g, g)
        beta = _cg_beta(method, g, gg, old, state.direction)
        goes_on = jnp.isfinite(beta) & (jnp.abs(dot(g, old)) < restart * gg) & (state.learning_rate > 0)
        bent = -g + jnp.where(goes_on, beta, 0) * jnp.where(jnp.isfinite(state.direction), state.direction, 0)
        direction = -descending(-bent, g, g)
        trial = jnp.ones((), g.dtype)
        if linesearch is not None:  # the first trial promises the decrease that the last step promised
            slope, last = dot(g, direction), dot(old, state.direction)
            kept = (state.learning_rate > 0) & (slope < 0) & jnp.isfinite(last)
            trial = jnp.where(kept, state.learning_rate * last / jnp.where(kept, slope, 1), first_scale(g))
        updates = unravel(rate_at(learning_rate, state.count) * trial * direction, params)
        updates, found = search(updates, state.linesearch, params, **given)
        dd = dot(direction, direction)
        length = dot(ravel(updates, g.dtype), direction) / jnp.where(dd > 0, dd, 1)
        return updates, NonlinearCGState(tree.increment(state.count), g, direction, length.astype(g.dtype), found)

    return with_rate(init, of_own_gradient(update, linesearch is not None), learning_rate, linesearch)


def _cg_beta(method: str, g, gg, old, d) -> jax.Array:
    y, old_sq = g - old, dot(old, old)
    dy = dot(d, y)
    if method == "fletcher_reeves":
        return gg / old_sq
    if method == "polak_ribiere":
        return jnp.maximum(dot(g, y) / old_sq, 0)
    if method == "hestenes_stiefel":
        return jnp.maximum(dot(g, y) / dy, 0)
    if method == "dai_yuan":
        return gg / dy
    eta = -1 / (jnp.linalg.norm(d) * jnp.minimum(0.01, jnp.sqrt(old_sq)))
    return jnp.maximum(dot(y - 2 * d * (dot(y, y) / dy), g) / dy, eta)
