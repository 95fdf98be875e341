"""L-BFGS: the inverse Hessian, estimated from the last few steps and changes of the gradient."""

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
from gdjax.optimizers.second_order.secant import bowl_like, prepare, rate_at
from gdjax.types import ScalarOrSchedule
from gdjax.vector import combination, dot, flat_dtype, products, ravel, unravel


class LBFGSState(NamedTuple):
    """With m = memory_size and n the number of real parameters."""

    count: jax.Array  # updates so far, () int32
    params: jax.Array  # (n,) at the last update
    updates: jax.Array  # (n,) the gradient there
    memory: jax.Array  # (2 m, n): rows s, y, s, y, ... in a ring, the pair of step i at 2 (i % m)
    products: jax.Array  # (2, m, m): s_i'y_j for i not after j, and y_i'y_j, the newest last
    identity_scale: jax.Array  # () s'y/y'y of the newest pair
    linesearch: Any


@optimizer(
    static=("memory_size", "scale_init_precond"),
    bounds={"learning_rate": "[0, inf)"},
    ints=("memory_size",),
    constant=("memory_size",),
)
def lbfgs(
    learning_rate: ScalarOrSchedule | None = None,
    memory_size: int = 10,
    scale_init_precond: bool = True,
    linesearch: Any = zoom(),  # noqa: B008
):
    """L-BFGS: the last few steps and what they did to the gradient, as an inverse Hessian that is never formed.

        H <- (I - s y'/s'y) H (I - y s'/s'y) + s s'/s'y       for the last memory_size pairs, from H = (s'y/y'y) I
        u = -learning_rate t H g                               t from the line search

    Args:
        learning_rate: what the search starts from (the step itself if linesearch is None); number or schedule (default: 1).
        memory_size: pairs (s, y) kept, at least 1.
        scale_init_precond: start from s'y/y'y of the newest pair (first step: of length at most 1) instead of 1.
        linesearch: `zoom(...)`, `backtracking(...)` or a line search of Optax's, which need update(..., value_fn=), or None.

    Memory: 2 memory_size + 3 x params (in float32 at least).   Raises: ValueError if memory_size < 1, or if update is
        called without a `value_fn=` to search.
    Differs from: Optax, which keeps pairs with s'y < 0, after which its direction may go up, and pairs that are not
        finite, after which it is NaN for ever. Here both are left out, products that are rounding too; and where a step
        has changed nothing (a failed search) the next goes along g.
    Reference: Liu & Nocedal 1989; Byrd, Nocedal & Schnabel 1994, Theorem 2.2 (the compact form).

    >>> opt, x = gd.lbfgs(linesearch=None), jnp.ones(2)
    >>> grad, update = jax.grad(lambda x: x[0] ** 2 + 5 * x[1] ** 2), jax.jit(opt.update)
    >>> updates, state = update(grad(x), opt.init(x), x)
    >>> print(updates, update(grad(x + updates), state, x + updates)[0])
    [-0.19612 -0.98058] [-0.17505 -0.044573]
    """
    if memory_size < 1:
        raise ValueError(f"lbfgs: memory_size must be at least 1, got {memory_size}")
    init_search, search = searcher(linesearch)

    def init(params):
        refuse_integers("lbfgs", params)
        m, p, count = memory_size, jnp.zeros_like(ravel(params, flat_dtype(params))), jnp.zeros((), jnp.int32)
        memory, table, scale = (jnp.zeros(shape, p.dtype) for shape in ((2 * m, p.size), (2, m, m), ()))
        return LBFGSState(count, p, p, memory, table, scale, init_search(params))

    def update(grads, state, params=None, **extra_args):
        given = prepare("lbfgs", grads, params, linesearch, extra_args)
        p, g = (ravel(x, state.params.dtype) for x in (params, grads))
        state, with_g = _remember(state, p, g)
        direction = _lbfgs_direction(
            state, with_g, state.identity_scale if scale_init_precond else jnp.ones((), g.dtype)
        )
        updates = unravel(-rate_at(learning_rate, state.count) * direction, params)
        updates, found = search(updates, state.linesearch, params, **given)
        count = tree.increment(state.count, period=state.products.shape[-1])
        return updates, state._replace(count=count, linesearch=found)

    return with_rate(init, of_own_gradient(update, linesearch is not None), learning_rate, linesearch)


def _remember(state: LBFGSState, p: jax.Array, g: jax.Array) -> tuple[LBFGSState, jax.Array]:
    """The state with the pair of the last step in place of the oldest, and the memory's products with g."""
    m, zero = state.products.shape[-1], jnp.zeros((), jnp.int32)
    pair, last = jnp.stack([p - state.params, g - state.updates]), jnp.arange(m) == m - 1
    # Of the first step only g, which is y; and none of what is not finite.
    known = jnp.stack([state.count > 0, jnp.ones((), bool)])
    finite = jnp.where(known[:, None] & jnp.isfinite(pair), pair, 0)
    memory = jax.lax.dynamic_update_slice(state.memory, finite, (2 * _row(state), zero))
    new, with_g = (_in_order(state, x) for x in products(memory, pair[1], g))
    older = jnp.pad(state.products[:, 1:, 1:], ((0, 0), (0, 1), (0, 1)))
    table = jnp.where(last, new[:, :, None], jnp.where(last[:, None], new[:, None], older))
    sy, yy = new[:, -1]
    first = jnp.where(jnp.isfinite(yy), 1 / jnp.sqrt(jnp.maximum(yy, 1)), 1)  # y is g: of unit length at most
    scale = jnp.where(state.identity_scale > 0, state.identity_scale, jnp.where(yy > 0, first, 0))
    is_pair = bowl_like(state.count, dot(finite[0], finite[0]), sy, yy)
    table = table.at[0, -1, -1].set(jnp.where(is_pair, sy, 0))
    scale = jnp.where(is_pair, sy / yy, scale)
    return state._replace(params=p, updates=g, memory=memory, products=table, identity_scale=scale), with_g


def _lbfgs_direction(state: LBFGSState, with_g: jax.Array, scale: jax.Array) -> jax.Array:
    """H g by the two-loop recursion, each loop solved at once.

    All that the recursion needs to know of its vectors are their products. Both loops are triangular systems in R,
    R_ij = s_i'y_j for i not after j: with D the s'y and the start H = scale I,

        R alpha = S g,      R' c = D alpha - scale Y (g - Y' alpha),      H g = scale (g - Y' alpha) + S' c
    """
    (sg, yg), (sy, yy), m = with_g, state.products, state.products.shape[-1]
    sy_each, yy_each = state.products.reshape(2, -1)[:, :: m + 1]  # the diagonals
    nothing_changed = yy_each[-1] == 0  # as after a failed search: the memory has led nowhere
    good = (sy_each > 0) & ~nothing_changed & jnp.isfinite(with_g).all()
    pairs = good[:, None] & good
    triangle = jnp.where(pairs, jnp.triu(sy), jnp.eye(m, dtype=sy.dtype))
    alpha = _solve(triangle, jnp.where(good, sg, 0), transposed=False)
    rest = yg - jnp.sum(jnp.where(pairs, yy, 0) * alpha, axis=1)
    c = _solve(triangle, jnp.where(good, sy_each * alpha - scale * rest, 0), transposed=True)
    return scale * state.updates + combination(_in_ring(state, jnp.stack([c, -scale * alpha])), state.memory)


def _row(state: LBFGSState) -> jax.Array:
    """Where the newest pair is."""
    return jnp.maximum(state.count - 1, 0) % state.products.shape[-1]


def _in_order(state: LBFGSState, x: jax.Array) -> jax.Array:
    """What belongs to the rows of the memory, (2 m,), as (2, m): to s and to y, the newest last."""
    twice = jnp.tile(x.reshape(-1, 2).T, 2)
    m = state.products.shape[-1]
    return jax.lax.dynamic_slice_in_dim(twice, (_row(state) + 1) % m, m, axis=1)


def _in_ring(state: LBFGSState, x: jax.Array) -> jax.Array:
    """The inverse of `_in_order`."""
    m = state.products.shape[-1]
    return jax.lax.dynamic_slice_in_dim(jnp.tile(x, 2), m - 1 - _row(state), m, axis=1).T.reshape(-1)


def _solve(triangle: jax.Array, b: jax.Array, transposed: bool) -> jax.Array:
    return jax.lax.linalg.triangular_solve(triangle, b[:, None], left_side=True, transpose_a=transposed)[:, 0]
