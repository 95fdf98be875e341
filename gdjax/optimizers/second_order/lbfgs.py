"""Directions that learn the curvature from the gradients seen: L-BFGS, BFGS and conjugate gradients.

All keep vectors (see `gdjax.vector`) of the last parameters p' and gradient g', and learn from

    s = p - p',      y = g - g'          what the last step was, and what it did to the gradient

of which only pairs with s'y > 0 can come from a bowl; others teach nothing and are left out. So does a product that may
be rounding alone: in a bowl whose condition number is below 1/eps,  s'y >= sqrt(eps) |s| |y|.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls.node import optimizer
from gdjax.optimizers.leafwise import _refuse_integers
from gdjax.optimizers.linesearch.line_search import objective, searcher, with_rate, zoom
from gdjax.vector import combination, dot, flat_dtype, products, ravel, unravel

CG_METHODS = ("fletcher_reeves", "polak_ribiere", "hestenes_stiefel", "dai_yuan", "hager_zhang")


class LBFGSState(NamedTuple):
    """With m = memory_size and n the number of real parameters."""

    count: jax.Array  # updates so far, () int32
    params: jax.Array  # (n,) at the last update
    updates: jax.Array  # (n,) the gradient there
    memory: jax.Array  # (2 m, n): rows s, y, s, y, ... in a ring, the pair of step i at 2 (i % m)
    products: jax.Array  # (2, m, m): s_i'y_j for i not after j, and y_i'y_j, the newest last
    identity_scale: jax.Array  # () s'y/y'y of the newest pair
    linesearch: Any


@optimizer(static=("memory_size", "scale_init_precond"), bounds={"learning_rate": "[0, inf)"})
def lbfgs(learning_rate=None, memory_size=10, scale_init_precond=True, linesearch=zoom()):  # noqa: B008
    """L-BFGS: the last few steps and what they did to the gradient, as an inverse Hessian that is never formed.

        H <- (I - s y'/s'y)' H (I - y s'/s'y) + s s'/s'y       for the last memory_size pairs, from H = (s'y/y'y) I
        u = -learning_rate t H g                               t from the line search

    Args:
        learning_rate: what the search starts from (the step itself if linesearch is None); number or schedule; None is 1.
        memory_size: pairs (s, y) kept, at least 1.
        scale_init_precond: start from s'y/y'y of the newest pair (first step: of length at most 1) instead of 1.
        linesearch: `zoom(...)`, `backtracking(...)` or a line search of Optax's, which need update(..., value_fn=), or None.

    Memory: 2 memory_size + 3 x params (in float32 at least).   Raises: ValueError if memory_size < 1, or if update is
        called without a `value_fn=` to search.
    Differs from: Optax, which keeps pairs with s'y < 0, after which its direction may go up, and pairs that are not
        finite, after which it is NaN for ever. Here both are left out, products that are rounding too; and where a step
        has changed nothing (a failed search) the next goes along g.
    Reference: Liu & Nocedal 1989; Byrd, Nocedal & Schnabel 1994, Theorem 2.2 (the compact form).
    """
    if memory_size < 1:
        raise ValueError(f"lbfgs: memory_size must be at least 1, got {memory_size}")
    init_search, search = searcher(linesearch)

    def init(params):
        _refuse_integers("lbfgs", params)
        m, p, count = memory_size, jnp.zeros_like(ravel(params, flat_dtype(params))), jnp.zeros((), jnp.int32)
        memory, table, scale = (jnp.zeros(shape, p.dtype) for shape in ((2 * m, p.size), (2, m, m), ()))
        return LBFGSState(count, p, p, memory, table, scale, init_search(params))

    def update(grads, state, params=None, **extra_args):
        given = _prepare("lbfgs", grads, params, linesearch, extra_args)
        p, g = (ravel(x, state.params.dtype) for x in (params, grads))
        state, with_g = _remember(state, p, g)
        direction = _lbfgs_direction(
            state, with_g, state.identity_scale if scale_init_precond else jnp.ones((), g.dtype)
        )
        updates = unravel(-_rate(learning_rate, state.count) * direction, params)
        updates, found = search(updates, state.linesearch, params, **given)
        count = tree.increment(state.count, period=state.products.shape[-1])
        return updates, state._replace(count=count, linesearch=found)

    return with_rate(init, update, learning_rate, linesearch)


def _remember(state: LBFGSState, p: jax.Array, g: jax.Array) -> tuple[LBFGSState, jax.Array]:
    """The state with the pair of the last step in place of the oldest, and the memory's products with g."""
    m, zero = state.products.shape[-1], jnp.zeros((), jnp.int32)
    pair, last = jnp.stack([p - state.params, g - state.updates]), jnp.arange(m) == m - 1
    known = jnp.stack(
        [state.count > 0, jnp.ones((), bool)]
    )  # of the first step only g, which is y; and none of what is not finite
    finite = jnp.where(known[:, None] & jnp.isfinite(pair), pair, 0)
    memory = jax.lax.dynamic_update_slice(state.memory, finite, (2 * _row(state), zero))
    new, with_g = (_in_order(state, x) for x in products(memory, pair[1], g))
    older = jnp.pad(state.products[:, 1:, 1:], ((0, 0), (0, 1), (0, 1)))
    table = jnp.where(last, new[:, :, None], jnp.where(last[:, None], new[:, None], older))
    sy, yy = new[:, -1]
    first = jnp.where(jnp.isfinite(yy), 1 / jnp.sqrt(jnp.maximum(yy, 1)), 1)  # y is g: of unit length at most
    scale = jnp.where(state.identity_scale > 0, state.identity_scale, jnp.where(yy > 0, first, 0))
    is_pair = _is_pair(state.count, dot(finite[0], finite[0]), sy, yy)
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


class BFGSState(NamedTuple):
    """With n the number of real parameters."""

    count: jax.Array
    params: jax.Array  # (n,)
    updates: jax.Array  # (n,)
    inverse_hessian: jax.Array  # (n, n)
    pairs: jax.Array  # () int32
    linesearch: Any


@optimizer(bounds={"learning_rate": "[0, inf)"})
def bfgs(learning_rate=None, linesearch=zoom(curv_rtol=0.5)):  # noqa: B008
    """BFGS: an inverse Hessian kept as a matrix, corrected by every step.

        H <- (I - s y'/s'y)' H (I - y s'/s'y) + s s'/s'y       from H = (s'y/y'y) I at the first pair
        u = -learning_rate t H g                               t from the line search

    Args:
        learning_rate: what the search starts from (the step itself if linesearch is None); number or schedule; None is 1.
        linesearch: as in `lbfgs`. Its curv_rtol is 0.5: the scale of the first pair is that of the steepest direction, and
            unit steps along the others, which 0.9 accepts, correct it slowly (59 steps against 22, condition 1,000).

    Memory: n + 3 x params, n the number of parameters (in float32 at least).   Raises: ValueError if update is called
        without a `value_fn=` to search.
    Reference: Nocedal & Wright 2006, Algorithm 6.1 and equation 6.20.
    """
    init_search, search = searcher(linesearch)

    def init(params):
        _refuse_integers("bfgs", params)
        p, count = ravel(params, flat_dtype(params)), jnp.zeros((), jnp.int32)
        zero = jnp.zeros_like(p)
        return BFGSState(count, zero, zero, jnp.eye(p.size, dtype=p.dtype), count, init_search(params))

    def update(grads, state, params=None, **extra_args):
        given = _prepare("bfgs", grads, params, linesearch, extra_args)
        p, g = (ravel(x, state.params.dtype) for x in (params, grads))
        inverse, pairs = _corrected(state, p - state.params, g - state.updates)
        usable = (pairs > 0) & jnp.isfinite(g).all()
        direction = jnp.where(usable, dot(inverse, g), _first(g) * g)
        updates = unravel(-_rate(learning_rate, state.count) * direction, params)
        updates, found = search(updates, state.linesearch, params, **given)
        return updates, BFGSState(tree.increment(state.count), p, g, inverse, pairs.astype(jnp.int32), found)

    return with_rate(init, update, learning_rate, linesearch)


def _corrected(state: BFGSState, s: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The inverse Hessian after a pair, and how many it has seen; anew where a step has changed nothing."""
    sy, yy = dot(s, y), dot(y, y)
    good, nothing_changed = _is_pair(state.count, dot(s, s), sy, yy), yy == 0
    s, y, sy = jnp.where(good, s, 0), jnp.where(good, y, 0), jnp.where(good, sy, 1)
    inverse = state.inverse_hessian * jnp.where(good & (state.pairs == 0), sy / jnp.where(good, yy, 1), 1)
    h_y = dot(inverse, y)
    cross = jnp.outer(s, h_y) / sy
    inverse = inverse - cross - cross.T + jnp.outer(s, s) * ((1 + dot(y, h_y) / sy) / sy)
    inverse = jnp.where(nothing_changed, jnp.eye(len(s), dtype=s.dtype), inverse)
    return inverse, jnp.where(nothing_changed, 0, state.pairs + good)


class NonlinearCGState(NamedTuple):
    """With n the number of real parameters."""

    count: jax.Array
    updates: jax.Array  # (n,) the gradient at the last update
    direction: jax.Array  # (n,)
    learning_rate: jax.Array  # () the length of the last step in units of its direction
    linesearch: Any


@optimizer(static=("method",), bounds={"learning_rate": "[0, inf)", "restart": "(0, inf]"})
def nonlinear_cg(learning_rate=None, method="polak_ribiere", restart=0.2, linesearch=zoom(curv_rtol=0.1)):  # noqa: B008
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
        learning_rate: scales the first trial (the step itself if linesearch is None); number or schedule; None is 1.
        method: one of the five above.
        restart: > 0; inf never restarts for lack of orthogonality.
        linesearch: as in `lbfgs`; the theory asks for curv_rtol < 1/2.

    Memory: 3 x params (in float32 at least).   Raises: ValueError for another method, or if update is called without a
        `value_fn=` to search.
    Reference: Nocedal & Wright 2006, section 5.2; Hager & Zhang 2005, SIAM J. Optim. 16(1).
    """
    if method not in CG_METHODS:
        raise ValueError(f"nonlinear_cg: method must be one of {', '.join(CG_METHODS)}, got {method!r}")
    init_search, search = searcher(linesearch)

    def init(params):
        _refuse_integers("nonlinear_cg", params)
        zero = jnp.zeros_like(ravel(params, flat_dtype(params)))
        rate = jnp.zeros((), zero.dtype)
        return NonlinearCGState(jnp.zeros((), jnp.int32), zero, zero, rate, init_search(params))

    def update(grads, state, params=None, **extra_args):
        given = _prepare("nonlinear_cg", grads, params, linesearch, extra_args)
        g, old = ravel(grads, state.updates.dtype), state.updates
        gg = dot(g, g)
        beta = _cg_beta(method, g, gg, old, state.direction)
        goes_on = jnp.isfinite(beta) & (jnp.abs(dot(g, old)) < restart * gg) & (state.learning_rate > 0)
        bent = -g + jnp.where(goes_on, beta, 0) * jnp.where(jnp.isfinite(state.direction), state.direction, 0)
        direction = -_descending(-bent, g, g)
        trial = jnp.ones((), g.dtype)
        if linesearch is not None:  # the first trial promises the decrease that the last step promised
            slope, last = dot(g, direction), dot(old, state.direction)
            kept = (state.learning_rate > 0) & (slope < 0) & jnp.isfinite(last)
            trial = jnp.where(kept, state.learning_rate * last / jnp.where(kept, slope, 1), _first(g))
        updates = unravel(_rate(learning_rate, state.count) * trial * direction, params)
        updates, found = search(updates, state.linesearch, params, **given)
        dd = dot(direction, direction)
        length = dot(ravel(updates, g.dtype), direction) / jnp.where(dd > 0, dd, 1)
        return updates, NonlinearCGState(tree.increment(state.count), g, direction, length.astype(g.dtype), found)

    return with_rate(init, update, learning_rate, linesearch)


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


def _prepare(who: str, grads: Any, params: Any, linesearch: Any, extra_args: dict[str, Any]) -> dict[str, Any]:
    """What the search needs; errors where trees differ or something is missing."""
    if params is None:
        raise ValueError(f"{who}: update needs params, got None")
    tree.check_like(who, "grads", grads, "params", params)
    return objective(who, params, linesearch is not None, **extra_args)


def _is_pair(count, ss, sy, yy) -> jax.Array:
    """Whether s and y can come from a bowl: s'y is positive beyond rounding, and finite. False before the second step."""
    limits = jnp.finfo(sy.dtype)
    rounding = jnp.sqrt(limits.eps) * jnp.sqrt(ss) * jnp.sqrt(yy)
    return (count > 0) & (sy > jnp.maximum(rounding, limits.tiny)) & jnp.isfinite(sy) & jnp.isfinite(yy)


def _first(g: jax.Array) -> jax.Array:
    """The scale of a first step, when nothing is known: at most of unit length."""
    square = dot(g, g)
    return jnp.where(jnp.isfinite(square), 1 / jnp.sqrt(jnp.maximum(square, 1)), 1)


def _descending(direction: jax.Array, steepest: jax.Array, g: jax.Array) -> jax.Array:
    """The direction, unless rounding has turned it uphill."""
    return jnp.where(dot(direction, g) > 0, direction, steepest)


def _rate(learning_rate: Any, count: jax.Array) -> Any:
    if learning_rate is None:
        return 1.0
    return learning_rate(count) if callable(learning_rate) else learning_rate
