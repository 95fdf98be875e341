"""The derivative of a solution, from the equation that it solves and not from the iterations that found it.

A solution x(a) of F(x, a) = 0 changes with a by

    dx = -(dF/dx)^-1 (dF/da) da                  the implicit function theorem

so that differentiating a loop of any length costs one linear system, in forward and in reverse mode. If dF/dx is singular
(in a direction on which the value does not depend), the solution of least norm is taken.

F is the gradient or, on a set, p - P(p - g); frozen leaves are constant. If F is not zero, the result may still be a fixed
point of the optimizer's step, with a projection or a decay around it: (p, s) = T(p, s, a) with optimizer state s; then
F = (p, s) - T(p, s, a). A point counts as a solution if Newton's next step for F is at most `NEAR` times |x| or times the
distance from the start, or if the run has CONVERGED and |F| is at most 1e-5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero

from gdjax import tree
from gdjax.optimizers.linesearch.searcher import SearchState
from gdjax.types import Params, Stop
from gdjax.vector import flat_dtype, ravel, unravel

DENSE = 200  # largest number of real unknowns for which dF/dx is formed; above, an iterative solver is used
JOINT = 400  # largest size of parameters and state together for which the fixed point of a step is solved
NEAR, FLAT = 1e-2, 1e-5


@dataclasses.dataclass(frozen=True)
class Equations:
    """The equations that a solution of a run on f satisfies; `given` is (onto, args)."""

    f: Callable[..., Any]

    def residual(self, params: Params, given: Any, trained: tuple[bool, ...] | None = None) -> Any:
        """The residual, zero at a solution: the gradient, or p - P(p - g); 0 for leaves that are not trained."""
        onto, args = given
        slope = step_of_projection(params, tree.ascent(jax.grad(self.f)(params, *args)), onto)
        if trained is None:
            return slope
        leaves, structure = jax.tree.flatten(slope)
        constants = (p - jax.lax.stop_gradient(p) for p in jax.tree.leaves(params))
        return structure.unflatten([g if t else h for g, h, t in zip(leaves, constants, trained, strict=True)])

    def value(self, params: Params, given: Any) -> jax.Array:
        return self.f(params, *given[1])


class Solution(NamedTuple):
    """A solution with its tangent."""

    x_dot: Any  # the tangent of params
    holds: jax.Array  # () bool, whether it is a solution


def implicitly(who: str, run: Callable[..., Any], equations: Equations) -> Callable[[Any, Any], Any]:
    """run(start, given) -> (found, end), where `found` is differentiated with respect to `given` by the implicit function.

    `found` has the fields params, value and stop; its other fields have derivative 0. `start` begins with the parameters and
    the optimizer; `end` is (params, optimizer state) after the last step, or None if no optimizer ran.

    The derivative raises ValueError if the run has not reached a solution; under a transformation it is NaN.
    """

    @jax.custom_jvp
    def solve(start, given):
        return run(start, given)

    def differentiate(primals, tangents):
        start, given = primals
        if not all(isinstance(x, SymbolicZero) for x in jax.tree.leaves(tangents[0])):
            raise ValueError(
                f"{who}: the solution does not depend on where the run started, its optimizer or its stopping "
                "condition; to differentiate the way there by these, take minimize(..., derivative='unrolled')"
            )
        given_dot = jax.tree.map(_instantiate, tangents[1])
        found, end = solve(start, given)
        x_dot = _check(who, found, _tangent(equations, start, given, given_dot, found, end))
        _, value_dot = jax.jvp(equations.value, (found.params, given), (x_dot, given_dot))
        still = jax.tree.map(_constant, (found, end))
        return (found, end), (still[0]._replace(params=x_dot, value=value_dot.astype(found.value.dtype)), still[1])

    solve.defjvp(differentiate, symbolic_zeros=True)
    return lambda start, given: solve(start, given)[0]


def step_of_projection(params: Params, ascent: Any, onto: Any) -> Any:
    """p - P(p - g), which is g in the interior of the set."""
    if onto is None:
        return ascent
    return jax.tree.map(lambda p, q: p - q, params, onto(jax.tree.map(lambda p, g: p - g, params, ascent)))


def _tangent(equations: Equations, start: Any, given: Any, given_dot: Any, found: Any, end: Any) -> Solution:
    """The tangent of the solution: from the gradient if it is zero, else from the fixed point of the step."""
    scale = _reach(found.params, start[0])
    first = _by_gradient(equations, given, given_dot, found, end, scale)
    if end is None or (not isinstance(first.holds, Tracer) and first.holds):
        return first
    second = _by_step(equations, start[1], given, given_dot, found, end, scale)
    if second is None:
        return first
    return Solution(tree.select(first.holds, first.x_dot, second.x_dot), first.holds | second.holds)


def _check(who: str, found: Any, solution: Solution) -> Any:
    if isinstance(solution.holds, Tracer):
        unless = jnp.where(solution.holds, 1, jnp.nan)
        return jax.tree.map(lambda x: (x * unless).astype(x.dtype), solution.x_dot)
    if not solution.holds:
        ended = "it ended" if isinstance(found.stop, Tracer) else f"it ended {Stop(int(found.stop)).name}"
        raise ValueError(
            f"{who}: to be differentiated, the run must come to a point where the gradient is zero or the optimizer's step "
            f"leads nowhere else; {ended} before that. Let it run longer, or take minimize(..., derivative='unrolled')"
        )
    return solution.x_dot


def _reach(params: Params, start: Params) -> jax.Array:
    """The length with which a Newton step is compared: |x|, or the distance from the start."""
    way = jax.tree.map(lambda a, b: a - b, params, start)
    return jnp.maximum(tree.global_norm(params), tree.global_norm(way))


def _by_gradient(equations: Equations, given: Any, given_dot: Any, found: Any, end: Any, scale: jax.Array) -> Solution:
    x, dtype = found.params, flat_dtype(found.params)
    trained = _trained_leaves(x, None if end is None else end[1])
    residual = lambda x, given: ravel(equations.residual(x, given, trained), dtype)  # noqa: E731
    flat = lambda v: residual(unravel(v, x), given)  # noqa: E731
    here, point = flat(ravel(x, dtype)), ravel(x, dtype)
    solve, product = _solver(flat, point)
    holds = _is_solution(here, solve(here), product, scale)
    holds |= (found.stop == Stop.CONVERGED) & (jnp.linalg.norm(here) <= FLAT)
    _, pushed = jax.jvp(lambda given: residual(x, given), (given,), (given_dot,))
    return Solution(unravel(-solve(pushed), x), holds)


def _trained_leaves(params: Params, opt_state: Any) -> tuple[bool, ...] | None:
    """Which leaves the optimizer trains, as its state says; None if it says nothing."""
    count = len(jax.tree.leaves(params))
    flags = [node.trained.value for node in tree.nodes_with(opt_state, "trained")]
    flags = [each for each in flags if len(each) == count]
    return tuple(map(all, zip(*flags, strict=True))) if flags else None


def _is_solution(
    residual: jax.Array, newton: jax.Array, product: Callable[..., Any], scale: jax.Array, size: Any = None
):
    """Whether Newton's step for the residual is short (in the first `size` entries), and would bring it to zero."""
    left = jnp.linalg.norm(residual - product(newton))
    return (jnp.linalg.norm(newton[:size]) <= NEAR * scale) & (left <= 0.1 * jnp.linalg.norm(residual))


def _solver(function: Callable[..., Any], x: jax.Array) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(b -> (d function / dx)^-1 b of least norm, v -> d function / dx v)."""
    if x.size <= DENSE:
        matrix = jax.jacfwd(function)(x)
        inverse = pseudo_inverse(matrix)
        return (lambda b: inverse @ b), (lambda v: matrix @ v)
    product = jax.linearize(function, x)[1]

    return (lambda b: jax.lax.custom_linear_solve(product, b, _by_products, transpose_solve=_by_products)), product


def _by_products(product: Callable[..., Any], b: jax.Array) -> jax.Array:
    """product^-1 b; if it is singular, the least-squares solution of least norm, which also uses the transpose."""
    eps, iterative = float(jnp.finfo(b.dtype).eps), jax.scipy.sparse.linalg
    x = iterative.bicgstab(product, b, tol=eps)[0]
    solved = jnp.linalg.norm(product(x) - b) <= 1e6 * eps * jnp.linalg.norm(b)

    def least(b):
        transpose = jax.linear_transpose(product, b)
        return iterative.cg(lambda v: transpose(product(v))[0], transpose(b)[0], tol=1e3 * eps)[0]

    return jax.lax.cond(solved, lambda b: x, least, b)


def pseudo_inverse(matrix: jax.Array) -> jax.Array:
    """The pseudo-inverse; the rank is determined after rows and columns are scaled to one size."""
    size = jnp.sqrt(jnp.maximum(jnp.max(jnp.abs(matrix), axis=1), jnp.finfo(matrix.dtype).tiny))
    like = jax.lax.stop_gradient(matrix / size[:, None])
    like = like / jnp.maximum(jnp.max(jnp.abs(like), axis=0), jnp.finfo(matrix.dtype).tiny)
    values = jnp.linalg.svd(like, compute_uv=False)
    regular = values[-1] > 10 * len(matrix) * jnp.finfo(matrix.dtype).eps * values[0]
    inverse = jnp.linalg.inv(jnp.where(regular, matrix, jnp.eye(len(matrix), dtype=matrix.dtype)))
    return jnp.where(regular, inverse, jnp.linalg.pinv(matrix))


def _searches(opt_state: Any) -> bool:
    """Whether the optimizer uses a line search."""
    is_search = lambda x: isinstance(x, SearchState)  # noqa: E731
    return any(map(is_search, jax.tree.leaves(opt_state, is_leaf=is_search)))


def _by_step(
    equations: Equations, optimizer: Any, given: Any, given_dot: Any, found: Any, end: Any, scale: jax.Array
) -> Solution | None:
    """The tangent of the fixed point of parameters and state; None if the state is large or there is a line search."""
    (params, opt_state), dtype = end, flat_dtype(found.params)
    leaves, structure = jax.tree.flatten(opt_state)
    real = [jnp.issubdtype(jnp.result_type(x), jnp.inexact) for x in leaves]
    kept = [x for x, is_real in zip(leaves, real, strict=True) if is_real]
    n, point = ravel(params, dtype).size, jnp.concatenate([ravel(params, dtype), ravel(kept, dtype)])
    if _searches(opt_state) or point.size > JOINT:
        return None

    def step(z, grad, value, given):
        """T(z) - z for one step of the optimizer, given the gradient and the value."""
        onto, args = given
        x, floats = unravel(z[:n], params), iter(unravel(z[n:], kept))
        state = structure.unflatten([next(floats) if r else leaf for leaf, r in zip(leaves, real, strict=True)])
        slope = unravel(grad, params)
        updates, after = optimizer.update(
            tree.ascent(slope), state, x, value=value, grad=slope, value_fn=lambda p: equations.f(p, *args)
        )
        if onto is not None:
            there = onto(jax.tree.map(lambda p, u: p + u, x, updates))
            updates = jax.tree.map(lambda q, p: q - p, there, x)
        new_state = [x for x, is_real in zip(jax.tree.leaves(after), real, strict=True) if is_real]
        return jnp.concatenate([ravel(updates, dtype), ravel(new_state, dtype) - z[n:]])

    def measure(x, given):
        """(gradient, value) at x."""
        value, grad = jax.value_and_grad(equations.f)(unravel(x, params), *given[1])
        return ravel(grad, dtype), value.astype(dtype)

    grad, value = measure(point[:n], given)
    by_z, by_grad, by_value = jax.jacfwd(lambda z, g, v: step(z, g, v, given), argnums=(0, 1, 2))(point, grad, value)
    curvature = jax.jacfwd(lambda x: measure(x, given)[0])(point[:n])
    matrix = by_z.at[:, :n].add(by_grad @ curvature + by_value[:, None] * grad)
    unit = jnp.where(jnp.arange(point.size) < n, scale, jnp.where(point == 0, scale, jnp.abs(point)))
    size = jnp.max(jnp.abs(matrix) * unit, axis=1)
    still = jnp.all(matrix == 0, axis=1)  # entries that a step does not change
    size = jnp.where(still, 1, size)
    scaled = jnp.where(still[:, None], jnp.eye(point.size, dtype=dtype), matrix * unit / size[:, None])
    inverse = pseudo_inverse(scaled)
    residual = jnp.where(still, 0, step(point, grad, value, given) / size)
    newton = inverse @ residual
    gap = tree.global_norm(jax.tree.map(lambda a, b: a - b, params, found.params))
    holds = _is_solution(residual, newton * unit, lambda v: scaled @ (v / unit), scale, n) & (gap <= NEAR * scale)
    inverse = jnp.where(jnp.isfinite(inverse).all() & holds, inverse, 0)
    _, (grad_dot, value_dot) = jax.jvp(lambda given: measure(point[:n], given), (given,), (given_dot,))
    pushed = by_grad @ grad_dot + by_value * value_dot
    if given[0] is not None:
        pushed += jax.jvp(lambda onto: step(point, grad, value, (onto, given[1])), (given[0],), (given_dot[0],))[1]
    z_dot = -unit * (inverse @ jnp.where(still, 0, pushed / size))
    return Solution(unravel(z_dot[:n], found.params), holds)


def _instantiate(x: Any) -> Any:
    if not isinstance(x, SymbolicZero):
        return x
    x = cast(Any, x)  # its class does not say that it has a shape
    return np.zeros(x.shape, x.dtype) if x.dtype == jax.dtypes.float0 else jnp.zeros(x.shape, x.dtype)


def _constant(x: jax.Array) -> Any:
    inexact = jnp.issubdtype(x.dtype, jnp.inexact)
    return jnp.zeros_like(x) if inexact else np.zeros(x.shape, jax.dtypes.float0)
