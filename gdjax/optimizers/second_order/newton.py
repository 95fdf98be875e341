"""Directions from the curvature itself: Newton's method, and Gauss-Newton's for sums of squares.

Both solve for the step at which a quadratic model is least; each has its guard against a model that is none, or that
holds only near by.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls.node import optimizer
from gdjax.optimizers.leafwise import _refuse_integers
from gdjax.optimizers.linesearch.line_search import backtracking, objective, searcher, with_rate, zoom
from gdjax.optimizers.second_order.lbfgs import _prepare, _rate
from gdjax.vector import dot, flat_dtype, ravel, unravel

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
            return grads, state._replace(count=tree.increment(state.count))

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
        return updates, NewtonState(tree.increment(state.count), found)

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


class _Model(NamedTuple):
    """The residuals made linear, r + J d, in units z = scale d in which no column of J is longer than 1."""

    triangle: jax.Array  # (m, n), of the QR factors of J / scale, m = min(k, n)
    seen: jax.Array  # (m,) the part of r that lies in the span of J

    @classmethod
    def of(cls, jacobian: jax.Array, r: jax.Array, scale: jax.Array) -> _Model:
        q, triangle = jnp.linalg.qr(jacobian / scale)
        return cls(triangle, dot(r, q))

    def step(self, damping: jax.Array) -> jax.Array:
        """The z of least |r + J z|² + damping |z|²; by QR once more, for J'J would square the condition."""
        n = self.triangle.shape[1]
        q, triangle = jnp.linalg.qr(
            jnp.concatenate([self.triangle, jnp.sqrt(damping) * jnp.eye(n, dtype=self.seen.dtype)])
        )
        rhs = dot(jnp.concatenate([self.seen, jnp.zeros(n, self.seen.dtype)]), q)
        return -jax.scipy.linalg.solve_triangular(triangle, rhs)

    def whole_step(self) -> jax.Array:
        """The undamped z; not finite where J has not full rank."""
        if self.triangle.shape[0] < self.triangle.shape[1]:
            return jnp.full(self.triangle.shape[1], jnp.inf, self.seen.dtype)
        return -jax.scipy.linalg.solve_triangular(self.triangle, self.seen)


def _is_nothing(step: jax.Array, at: jax.Array) -> jax.Array:
    """Whether a step is at most sqrt(eps) of where it begins; false for one that is not finite."""
    return jnp.linalg.norm(step) <= jnp.sqrt(jnp.finfo(step.dtype).eps) * jnp.linalg.norm(at)


class GaussNewtonState(NamedTuple):
    count: jax.Array
    search: Any  # along 1/2 sum residuals², whose value is not that of the loss
    converged: jax.Array  # () bool: where the last update began, a whole step changed nothing


@optimizer(static=("residuals",), bounds={"learning_rate": "[0, inf)"})
def gauss_newton(residuals, learning_rate=None, linesearch=backtracking(decrease_factor=0.5)):  # noqa: B008
    """Gauss-Newton: least squares with the residuals made linear; least 1/2 sum residuals².

        u = -learning_rate t J^+ r                            J the Jacobian of the residuals r, t from the line search

    J^+ is the pseudo-inverse, by singular values: where J has not full rank, the shortest of the steps. The gradients
    that it is given are ignored, and so is `value_fn`. Its state says `converged` as that of `levenberg_marquardt` does.
    Where J loses rank on the way, steps can shrink to nothing far from a minimum (Powell 1970); damping prevents it.

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
        return GaussNewtonState(jnp.zeros((), jnp.int32), init_search(params), jnp.zeros((), bool))

    def update(grads, state, params=None, **extra_args):
        del extra_args
        dtype = _checked("gauss_newton", grads, params)
        if not jax.tree.leaves(params):
            return grads, state._replace(count=tree.increment(state.count))
        r, jacobian, function = _linearized(residuals, params, dtype)
        direction, p = -jnp.linalg.lstsq(jacobian, r)[0], ravel(params, dtype)
        rate = jnp.asarray(_rate(learning_rate, state.count), dtype)
        value, grad = 0.5 * dot(r, r), _as_jax_gradient(dot(r, jacobian), params)
        value_fn = lambda params: 0.5 * jnp.sum(function(ravel(params, dtype)) ** 2)  # noqa: E731
        given = objective("gauss_newton", params, linesearch is not None, value=value, grad=grad, value_fn=value_fn)
        updates, found = search(unravel(rate * direction, params), state.search, params, **given)
        scale = jnp.linalg.norm(jacobian, axis=0)
        return updates, GaussNewtonState(tree.increment(state.count), found, _is_nothing(scale * direction, scale * p))

    return with_rate(init, update, learning_rate, linesearch)


class LevenbergMarquardtState(NamedTuple):
    """With n the number of real parameters."""

    count: jax.Array
    scale: jax.Array  # (n,) the longest that each column of J has been
    damping: jax.Array  # () float
    growth: jax.Array  # () float, what a refused step multiplies the damping by
    value: jax.Array  # () float, 1/2 sum residuals² at the parameters that the last update led to
    converged: jax.Array  # () bool: where the last update began, a whole step changed nothing


@optimizer(static=("residuals",), bounds={"initial_damping": "(0, inf)"})
def levenberg_marquardt(residuals, initial_damping=1e-3):
    """Levenberg-Marquardt: Gauss-Newton held back where its model has failed; least 1/2 sum residuals².

        D <- max(D, |columns of J|)
        d least in |J d + r|² + damping |D d|²,    gain = (actual decrease) / (that of the model)
        u = d if gain > 0, else 0
        damping <- damping max(1/3, 1 - (2 gain - 1)³),  growth <- 2                     gain > 0
        damping <- damping growth,  growth <- 2 growth                                   else

    An update whose step is refused moves nothing; the next tries a shorter one. The gradients that it is given are ignored,
    and so is `value_fn`. The steps do not depend on the units of the parameters, nor does what its state calls `converged`:
    the undamped step d is nothing beside the parameters, |D d| <= sqrt(eps) |D p|, or what the step promised and what it
    gave are rounding of the sum, at most 4 eps of it. `minimize` stops there unless it is given another condition.

    Args:
        residuals: params -> array or tree of arrays; a function of the module level compares by identity.
        initial_damping: > 0, dimensionless: 1e-6 from a good guess, 1 from a bad one.

    Memory: n (k + n x params while it steps, k residuals of n parameters).   Raises: ValueError if initial_damping <= 0.
    Reference: Marquardt 1963; More 1978 (D; Springer LNM 630); Madsen, Nielsen & Tingleff 2004, Algorithm 3.16 (IMM,
        Technical University of Denmark).
    """

    def init(params):
        _refuse_integers("levenberg_marquardt", params)
        p = ravel(params, flat_dtype(params))
        damping, growth, value = (jnp.full((), x, p.dtype) for x in (initial_damping, 2, jnp.inf))
        return LevenbergMarquardtState(
            jnp.zeros((), jnp.int32), jnp.zeros_like(p), damping, growth, value, jnp.zeros((), bool)
        )

    def update(grads, state, params=None, **extra_args):
        del extra_args
        dtype = _checked("levenberg_marquardt", grads, params)
        if not jax.tree.leaves(params):
            return grads, state._replace(count=tree.increment(state.count))
        r, jacobian, function = _linearized(residuals, params, dtype)
        longest = jnp.maximum(state.scale, jnp.linalg.norm(jacobian, axis=0))
        scale = jnp.where(longest > 0, longest, 1)
        model = _Model.of(jacobian, r, scale)
        step = unravel(model.step(state.damping) / scale, params)
        z, p = scale * ravel(step, dtype), ravel(params, dtype)
        value, g, limits = 0.5 * dot(r, r), dot(r, jacobian) / scale, jnp.finfo(dtype)
        new = function(ravel(jax.tree.map(lambda p, u: p + u, params, step), dtype))
        # The difference of squares, not of the sums: near the minimum the sums agree to the last digit.
        decrease, promised = 0.5 * dot(r - new, r + new), 0.5 * dot(z, state.damping * z - g)
        lost = (promised <= 4 * limits.eps * value) & (jnp.abs(decrease) <= 4 * limits.eps * value)
        gain = decrease / promised
        good = (decrease > 0) & (promised > 0)
        factor = jnp.where(good, jnp.maximum(1 / 3, 1 - (2 * gain - 1) ** 3), state.growth)
        new_state = LevenbergMarquardtState(
            count=tree.increment(state.count),
            scale=longest,
            damping=jnp.clip(state.damping * factor, limits.tiny, limits.max**0.5).astype(dtype),
            growth=jnp.where(good, 2, jnp.minimum(2 * state.growth, 2.0**20)).astype(dtype),
            value=jnp.where(good, value - decrease, value).astype(dtype),
            converged=_is_nothing(model.whole_step(), scale * p) | lost,
        )
        return jax.tree.map(lambda u: jnp.where(good, u, 0).astype(u.dtype), step), new_state

    return init, update


def _checked(who: str, grads: Any, params: Any) -> Any:
    _prepare(who, grads, params, None, {})
    return flat_dtype(params)


def _as_jax_gradient(vector: jax.Array, params: Any) -> Any:
    """The direction of ascent as a tree, as jax.grad would give it: its conjugate."""
    return jax.tree.map(jnp.conj, unravel(vector, params))
