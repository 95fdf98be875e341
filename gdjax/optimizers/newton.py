"""Directions from the curvature itself: Newton's method, and Gauss-Newton's for sums of squares.

Both solve for the step at which a quadratic model is least; each has its guard against a model that is none, or that
holds only near by.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax.nodes import optimizer
from gdjax.optimizers.flat import dot, flat_dtype, ravel, unravel
from gdjax.optimizers.leafwise import _refuse_integers
from gdjax.optimizers.line_search import backtracking, objective, searcher, with_rate, zoom
from gdjax.optimizers.quasi_newton import _prepare, _rate

DENSE = 200  # real parameters up to which solver="auto" forms the Hessian


class NewtonState(NamedTuple):
    count: jax.Array
    linesearch: Any


@optimizer(
    static=("solver", "max_cg_steps"),
    bounds={"learning_rate": "[0, inf)", "damping": "[0, inf)", "cg_rtol": "(0, 1)"},
)
def newton(
    learning_rate=None,
    damping=0.0,
    solver="auto",
    cg_rtol=None,
    max_cg_steps: Any = None,
    linesearch=zoom(),  # noqa: B008 (a node is a value)
):
    """Newton's method: step to where the quadratic model of the loss is least, or down its steepest fall.

        u = -learning_rate t (|H| + damping I)^-1 g                   t from the line search, H the Hessian
        dense:  |H| has the eigenvectors of H and the sizes of its eigenvalues, so that u descends where H is indefinite
        cg:     conjugate gradients on H d = -g, stopped at |residual| <= cg_rtol |g| or at a direction that curves down

    Args:
        learning_rate: what the search starts from (the step itself if linesearch is None); number or schedule; None is 1.
        damping: >= 0, units of the Hessian; larger turns the step towards -g / damping.
        solver: "dense", "cg" (products of H with vectors only), or "auto": dense up to 200 parameters.
        cg_rtol: in (0, 1); None is min(1/2, sqrt |g|), which keeps the convergence superlinear.
        max_cg_steps: None is the number of parameters.
        linesearch: as in `lbfgs`.

    Memory: 0 (n x params while it steps if dense, n the number of parameters).   Raises: ValueError for another solver, or
        if update is called without `value_fn=`.
    Reference: Nocedal & Wright 2006, section 3.4 and Algorithm 7.1; Dauphin et al. 2014, arXiv:1406.2572 (|H|).
    """
    if solver not in ("dense", "cg", "auto"):
        raise ValueError(f"newton: solver must be 'dense', 'cg' or 'auto', got {solver!r}")
    init_search, search = searcher(linesearch)

    def init(params):
        _refuse_integers("newton", params)
        return NewtonState(jnp.zeros((), jnp.int32), init_search(params))

    def update(grads, state, params=None, **extra_args):
        given = _prepare("newton", grads, params, True, extra_args)
        dtype = flat_dtype(params)
        p, g = (ravel(x, dtype) for x in (params, grads))
        if not p.size:
            return grads, state._replace(count=state.count + 1)

        def gradient(x):
            return jax.grad(lambda x: given["value_fn"](unravel(x, params)).astype(dtype))(x)

        if solver == "dense" or (solver == "auto" and p.size <= DENSE):
            direction = _newton_dense(jax.jacfwd(gradient)(p), g, damping)
        else:
            curve = lambda v: jax.jvp(gradient, (p,), (v,))[1] + damping * v  # noqa: E731
            direction = _newton_cg(curve, g, cg_rtol, max_cg_steps or p.size)
        rate = jnp.asarray(_rate(learning_rate, state.count), dtype)
        updates = unravel(rate * direction, params)
        updates, found = search(updates, state.linesearch, params, **given)
        return updates, NewtonState(state.count + 1, found)

    return with_rate(init, update, learning_rate, linesearch)


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


def _linearized(residuals: Any, params: Any, dtype: Any) -> tuple[jax.Array, jax.Array, Any]:
    """The residuals (k,), their Jacobian (k, n), and the residuals as a function of the parameters' vector (n,)."""
    p = ravel(params, dtype)

    def function(x):
        return ravel(residuals(unravel(x, params)), dtype)

    r = function(p)
    jacobian = (jax.jacfwd if p.size <= 2 * r.size else jax.jacrev)(function)(p)
    return r, jacobian, function


def _damped_least_squares(jacobian: jax.Array, r: jax.Array, damping: jax.Array) -> jax.Array:
    """The d of least |J d + r|² + damping |d|², by QR of J on top of sqrt(damping) I: J'J would square the condition."""
    n = jacobian.shape[1]
    stacked = jnp.concatenate([jacobian, jnp.sqrt(damping) * jnp.eye(n, dtype=r.dtype)])
    q, triangle = jnp.linalg.qr(stacked)
    rhs = -dot(jnp.concatenate([r, jnp.zeros(n, r.dtype)]), q)
    return jax.scipy.linalg.solve_triangular(triangle, rhs)


class GaussNewtonState(NamedTuple):
    count: jax.Array
    search: Any  # along 1/2 sum residuals², whose value is not that of the loss


@optimizer(static=("residuals",), bounds={"learning_rate": "[0, inf)"})
def gauss_newton(residuals, learning_rate=None, linesearch=backtracking(decrease_factor=0.5)):  # noqa: B008
    """Gauss-Newton: least squares with the residuals made linear; least 1/2 sum residuals².

        u = -learning_rate t J^+ r                            J the Jacobian of the residuals r, t from the line search

    J^+ is the pseudo-inverse, by singular values: where J has not full rank, the shortest of the steps. The gradients
    that it is given are ignored, and so is `value_fn`.

    Args:
        residuals: params -> array or tree of arrays; a function of the module level compares by identity.
        learning_rate: what the search starts from (the step itself if linesearch is None); number or schedule; None is 1.
        linesearch: as in `lbfgs`, along 1/2 sum residuals².

    Memory: 0 (k x params while it steps, k the number of residuals).
    Reference: Nocedal & Wright 2006, section 10.3.
    """
    init_search, search = searcher(linesearch)

    def init(params):
        _refuse_integers("gauss_newton", params)
        return GaussNewtonState(jnp.zeros((), jnp.int32), init_search(params))

    def update(grads, state, params=None, **extra_args):
        del extra_args
        dtype = _checked("gauss_newton", grads, params)
        if not jax.tree.leaves(params):
            return grads, state._replace(count=state.count + 1)
        r, jacobian, function = _linearized(residuals, params, dtype)
        direction = -jnp.linalg.lstsq(jacobian, r)[0]
        rate = jnp.asarray(_rate(learning_rate, state.count), dtype)
        value, grad = 0.5 * dot(r, r), _as_jax_gradient(dot(r, jacobian), params)
        value_fn = lambda params: 0.5 * jnp.sum(function(ravel(params, dtype)) ** 2)  # noqa: E731
        given = objective("gauss_newton", params, linesearch is not None, value=value, grad=grad, value_fn=value_fn)
        updates, found = search(unravel(rate * direction, params), state.search, params, **given)
        return updates, GaussNewtonState(state.count + 1, found)

    return with_rate(init, update, learning_rate, linesearch)


class LevenbergMarquardtState(NamedTuple):
    count: jax.Array
    damping: jax.Array  # () float; 0 before the first update
    growth: jax.Array  # () float, what a refused step multiplies the damping by
    value: jax.Array  # () float, 1/2 sum residuals² at the parameters that the last update led to


@optimizer(static=("residuals",), bounds={"initial_damping": "(0, inf)"})
def levenberg_marquardt(residuals, initial_damping=1e-3):
    """Levenberg-Marquardt: Gauss-Newton held back where its model has failed; least 1/2 sum residuals².

        d least in |J d + r|² + damping |d|²,    gain = (actual decrease) / (that of the model)
        u = d if gain > 0, else 0
        damping <- damping max(1/3, 1 - (2 gain - 1)³),  growth <- 2                     gain > 0
        damping <- damping growth,  growth <- 2 growth                                   else

    An update whose step is refused moves nothing; the next tries a shorter one. The gradients that it is given are ignored,
    and so is `value_fn`.

    Args:
        residuals: params -> array or tree of arrays; a function of the module level compares by identity.
        initial_damping: > 0, in units of the largest diagonal entry of J'J: 1e-6 from a good guess, 1 from a bad one.

    Memory: 0 (k + n x params while it steps, k residuals of n parameters).   Raises: ValueError if initial_damping <= 0.
    Reference: Marquardt 1963; Madsen, Nielsen & Tingleff 2004, Algorithm 3.16 (IMM, Technical University of Denmark).
    """

    def init(params):
        _refuse_integers("levenberg_marquardt", params)
        zero = jnp.zeros((), flat_dtype(params))
        return LevenbergMarquardtState(jnp.zeros((), jnp.int32), zero, zero + 2, zero + jnp.inf)

    def update(grads, state, params=None, **extra_args):
        del extra_args
        dtype = _checked("levenberg_marquardt", grads, params)
        if not jax.tree.leaves(params):
            return grads, state._replace(count=state.count + 1)
        r, jacobian, function = _linearized(residuals, params, dtype)
        scale = jnp.max(jnp.sum(jacobian * jacobian, axis=0))
        first = initial_damping * jnp.where(scale > 0, scale, 1)
        damping = jnp.where(state.count > 0, state.damping, first).astype(dtype)
        step = unravel(_damped_least_squares(jacobian, r, damping), params)
        d = ravel(step, dtype)
        value, g = 0.5 * dot(r, r), dot(r, jacobian)
        new = function(ravel(jax.tree.map(lambda p, u: p + u, params, step), dtype))
        new_value = 0.5 * dot(new, new)
        # The difference of squares, not of the sums: near the minimum the sums agree to the last digit.
        decrease, promised = 0.5 * dot(r - new, r + new), 0.5 * dot(d, damping * d - g)
        gain = decrease / promised
        good = (decrease > 0) & (promised > 0)
        factor = jnp.where(good, jnp.maximum(1 / 3, 1 - (2 * gain - 1) ** 3), state.growth)
        new_state = LevenbergMarquardtState(
            count=state.count + 1,
            damping=jnp.clip(damping * factor, jnp.finfo(dtype).tiny, jnp.finfo(dtype).max ** 0.5).astype(dtype),
            growth=jnp.where(good, 2, jnp.minimum(2 * state.growth, 2.0**20)).astype(dtype),
            value=jnp.where(good, new_value, value).astype(dtype),
        )
        return jax.tree.map(lambda u: jnp.where(good, u, 0).astype(u.dtype), step), new_state

    return init, update


def _checked(who: str, grads: Any, params: Any) -> Any:
    _prepare(who, grads, params, None, {})
    return flat_dtype(params)


def _as_jax_gradient(vector: jax.Array, params: Any) -> Any:
    """The direction of ascent as a tree, as jax.grad would give it: its conjugate."""
    return jax.tree.map(jnp.conj, unravel(vector, params))
