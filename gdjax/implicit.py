"""The derivative of a solution, from the equation that it solves and not from the way that led to it.

A solution x(a) of F(x, a) = 0 changes with a by

    dx = -(dF/dx)^-1 (dF/da) da                  the implicit function theorem

so that a loop of any length costs one linear system to differentiate, in forward and in reverse mode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from gdjax.optimizers.flat import flat_dtype, ravel, unravel

DENSE = 200  # real unknowns up to which dF/dx is formed and solved; above, by products with vectors


def implicitly(run: Callable, residual: Callable, value: Callable) -> Callable[[Any, Any], Any]:
    """run(start, given), whose answer changes with `given` only, as residual(params, given) = 0 says.

    The answer has the fields `params` and `value`, which is value(params, given); all others are constants to it.
    """

    @jax.custom_jvp
    def solved(start, given):
        return run(start, given)

    def moved(primals, tangents):
        start, given = primals
        if not all(isinstance(x, SymbolicZero) for x in jax.tree.leaves(tangents[0])):
            raise ValueError(
                "the solution does not depend on where the run started, its optimizer or its rule; to differentiate the way "
                "there by these, take derivative='unrolled'"
            )
        given_dot = jax.tree.map(_instantiated, tangents[1])
        found = solved(start, given)
        x_dot = _moved(found.params, residual, given, given_dot)
        _, value_dot = jax.jvp(value, (found.params, given), (x_dot, given_dot))
        return found, jax.tree.map(_constant, found)._replace(params=x_dot, value=value_dot.astype(found.value.dtype))

    solved.defjvp(moved, symbolic_zeros=True)
    return solved


def _instantiated(x: Any) -> Any:
    if not isinstance(x, SymbolicZero):
        return x
    x = cast(Any, x)  # its class does not say that it has a shape
    return np.zeros(x.shape, x.dtype) if x.dtype == jax.dtypes.float0 else jnp.zeros(x.shape, x.dtype)


def _moved(x: Any, residual: Callable, given: Any, given_dot: Any) -> Any:
    """The tangent of the solution x."""
    dtype = flat_dtype(x)
    flat = lambda v: ravel(residual(unravel(v, x), given), dtype)  # noqa: E731
    _, pushed = jax.jvp(lambda given: ravel(residual(x, given), dtype), (given,), (given_dot,))
    return unravel(-_solved(flat, ravel(x, dtype), pushed), x)


def _solved(function: Callable, x: jax.Array, b: jax.Array) -> jax.Array:
    """(d function / dx)^-1 b."""
    if x.size <= DENSE:
        return jnp.linalg.solve(jax.jacfwd(function)(x), b)

    def solve(product, b):
        return jax.scipy.sparse.linalg.bicgstab(product, b, tol=float(jnp.finfo(x.dtype).eps))[0]

    return jax.lax.custom_linear_solve(jax.linearize(function, x)[1], b, solve, transpose_solve=solve)


def _constant(x: jax.Array) -> Any:
    inexact = jnp.issubdtype(x.dtype, jnp.inexact)
    return jnp.zeros_like(x) if inexact else np.zeros(x.shape, jax.dtypes.float0)
