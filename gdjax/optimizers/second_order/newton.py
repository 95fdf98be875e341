"""Newton's method: the step to the minimum of the quadratic model of the loss."""

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
from gdjax.optimizers.second_order.secant import prepare, rate_at
from gdjax.types import ArrayLike, ScalarOrSchedule
from gdjax.vector import dot, flat_dtype, ravel, unravel

DENSE = 200  # real parameters up to which solver="auto" forms the Hessian


class NewtonState(NamedTuple):
    count: jax.Array
    linesearch: Any


@optimizer(
    static=("solver", "max_cg_steps"),
    bounds={"learning_rate": "[0, inf)", "damping": "[0, inf)", "cg_rtol": "(0, 1)"},
    like=lbfgs,
    constant=("damping", "cg_rtol"),
)
def newton(
    learning_rate: ScalarOrSchedule | None = None,
    damping: ArrayLike = 0.0,
    solver="auto",
    cg_rtol: ArrayLike | None = None,
    max_cg_steps: Any = None,
    linesearch: Any = zoom(),  # noqa: B008 (a node is a value)
):
    """Newton's method: step to where the quadratic model of the loss is least, or down its steepest fall.

        u = -learning_rate t (|H| + damping I)^-1 g                   t from the line search, H the Hessian
        dense:  |H| has the eigenvectors of H and the sizes of its eigenvalues, so that u descends where H is indefinite
        cg:     conjugate gradients on H d = -g, stopped at |residual| <= cg_rtol |g| or at a direction that curves down

    Args:
        learning_rate: what the search starts from (the step itself if linesearch is None); number or schedule (default: 1).
        damping: >= 0, units of the Hessian; larger turns the step toward -g / damping.
        solver: "dense", "cg" (products of H with vectors only), or "auto": dense up to 200 parameters.
        cg_rtol: in (0, 1) (default: min(1/2, sqrt |g|), which keeps the convergence superlinear).
        max_cg_steps: largest number of iterations (default: the number of parameters).
        linesearch: as in `lbfgs`.

    Memory: 0 (n x params while it steps if dense, n the number of parameters).   Raises: ValueError for another solver, or
        if update is called without `value_fn=`.
    Reference: Nocedal & Wright 2006, section 3.4 and Algorithm 7.1; Dauphin et al. 2014, arXiv:1406.2572 (|H|).

    >>> f, opt, x = lambda x: x[0] ** 2 + 5 * x[1] ** 2, gd.newton(linesearch=None), jnp.ones(2)
    >>> print(opt.update(jax.grad(f)(x), opt.init(x), x, value_fn=f)[0])
    [-1. -1.]
    """
    if solver not in ("dense", "cg", "auto"):
        raise ValueError(f"newton: solver must be 'dense', 'cg' or 'auto', got {solver!r}")
    init_search, search = searcher(linesearch)

    def init(params):
        refuse_integers("newton", params)
        return NewtonState(jnp.zeros((), jnp.int32), init_search(params))

    def update(grads, state, params=None, **extra_args):
        given = prepare("newton", grads, params, True, extra_args)
        dtype = flat_dtype(params)
        p, g = (ravel(x, dtype) for x in (params, grads))
        if not p.size:
            return grads, state._replace(count=tree.increment(state.count))

        def gradient(x):
            return jax.grad(lambda x: given["value_fn"](unravel(x, params)).astype(dtype))(x)

        if solver == "dense" or (solver == "auto" and p.size <= DENSE):
            direction = _newton_dense(jax.jacfwd(gradient)(p), g, damping)
        else:
            curve = lambda v: jax.jvp(gradient, (p,), (v,))[1] + damping * v  # noqa: E731
            direction = _newton_cg(curve, g, cg_rtol, max_cg_steps or p.size)
        rate = jnp.asarray(rate_at(learning_rate, state.count), dtype)
        updates = unravel(rate * direction, params)
        updates, found = search(updates, state.linesearch, params, **given)
        return updates, NewtonState(tree.increment(state.count), found)

    return with_rate(init, of_own_gradient(update), learning_rate, linesearch)


def _newton_dense(hessian: jax.Array, g: jax.Array, damping: Any) -> jax.Array:
    values, vectors = jnp.linalg.eigh(0.5 * (hessian + hessian.T))
    sizes = jnp.abs(values)
    least = jnp.finfo(g.dtype).eps * len(g) * jnp.max(sizes)  # what rounding leaves of an eigenvalue 0
    sizes = jnp.maximum(sizes, jnp.where(least > 0, least, 1)) + damping
    return -dot(vectors, dot(g, vectors) / sizes)


class _CG(NamedTuple):
    d: jax.Array  # the solution so far
    residual: jax.Array
    conjugate: jax.Array
    square: jax.Array  # of the residual
    steps: jax.Array
    done: jax.Array


def _newton_cg(curve: Any, g: jax.Array, rtol: Any, max_steps: int) -> jax.Array:
    """Conjugate gradients from 0 on H d = -g; at negative curvature what it has, or -g scaled by that curvature."""
    norm = jnp.linalg.norm(g)
    tolerance = (jnp.minimum(0.5, jnp.sqrt(norm)) if rtol is None else rtol) * norm

    def body(c: _CG) -> _CG:
        curved = curve(c.conjugate)
        bend = dot(c.conjugate, curved)
        up = bend > 0
        alpha = c.square / jnp.where(up, bend, jnp.where(bend < 0, -bend, c.square))
        alpha = jnp.where(up | (c.steps == 0), alpha, 0)
        residual = c.residual + alpha * curved
        square = dot(residual, residual)
        conjugate = -residual + square / c.square * c.conjugate
        done = ~up | (square <= tolerance**2) | (c.steps + 1 >= max_steps)
        return _CG(c.d + alpha * c.conjugate, residual, conjugate, square, c.steps + 1, done)

    start = _CG(jnp.zeros_like(g), g, -g, norm**2, jnp.zeros((), jnp.int32), ~(norm > 0))
    return jax.lax.while_loop(lambda c: ~c.done, body, start).d
