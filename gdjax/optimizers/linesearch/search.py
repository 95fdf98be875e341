"""Searches along a direction, as plain functions that any method with a direction can call; see `line_search`.

    search(value_fn, params, direction, value, grad, step) -> SearchResult

with value and grad those at params and `step` the first length to try, tries lengths in one compiled loop. The loop holds
a single evaluation of the value and its gradient (most of what a search costs to compile) and carries, beside the gradient
at the last trial, only a few numbers. Value and gradient at the end are handed back, for the next iteration to start from.

Near a minimum phi(t) = f(p + t d) changes by less than the rounding of f, while its slope is still exact. There a trial
that is level with phi(0) is judged by its slope alone, the approximate Wolfe condition of Hager & Zhang 2005. A search
that fails takes the best length that it has seen, which may be 0; it never goes up and never makes NaN.

A value of infinity says that nothing is known at params: the search then evaluates there and moves nothing. A loop that
takes value and gradient from the last search can start so, and holds no other evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdjax import tree
from gdjax.calls import Decorator, Node, decorator, register
from gdjax.types import ArrayLike, Params
from gdjax.vector import SMALL, flat_dtype, ravel


class SearchResult(NamedTuple):
    step: jax.Array  # () float, the length found; 0 if none makes the value less
    value: jax.Array  # () float, at params + step direction
    grad: Any  # the gradient there, as jax.grad gives it
    evaluations: jax.Array  # () int32, of value and gradient
    failed: jax.Array  # () bool: the conditions do not hold
    guess: jax.Array  # () float, where a search that starts from the last one's length may start


class Line:
    """phi: the value, its gradient and its slope at a length; and phi(0)."""

    dtype: Any
    value_and_grad: Callable[..., Any]
    params: Params
    direction: Params
    value0: jax.Array
    grad0: Params
    slope0: jax.Array

    def __init__(
        self, value_fn: Callable[..., Any], params: Params, direction: Params, value: ArrayLike, grad: Params
    ) -> None:
        self.dtype = flat_dtype(params)
        self.value_and_grad = jax.value_and_grad(value_fn)
        self.params, self.direction = params, direction
        self.value0 = jnp.asarray(value, self.dtype)
        self.grad0 = tree.cast_like(grad, params)
        self.slope0 = self.slope(grad)

    def slope(self, grad: Params) -> jax.Array:
        """real(g d) summed: JAX's gradient of a real function is the conjugate of the direction of ascent."""
        ascent = jax.tree.map(jnp.conj, grad)
        leaves = [ascent], [self.direction]
        if sum(map(jnp.size, jax.tree.leaves(ascent))) > SMALL:
            leaves = jax.tree.leaves(ascent), jax.tree.leaves(self.direction)
        parts = [jnp.sum(ravel(g, self.dtype) * ravel(d, self.dtype)) for g, d in zip(*leaves, strict=True)]
        return sum(parts, start=jnp.zeros((), self.dtype))

    def at(self, step: jax.Array) -> tuple[jax.Array, Any, jax.Array]:
        """Exactly where `optax.apply_updates` will go."""
        value, grad = self.value_and_grad(optax.apply_updates(self.params, scale_direction(self.direction, step)))
        return value.astype(self.dtype), tree.cast_like(grad, self.params), self.slope(grad)


def scale_direction(direction: Any, step: jax.Array) -> Any:
    return jax.tree.map(lambda d: (step * d.astype(jnp.result_type(d, step))).astype(d.dtype), direction)


class LineSearch(Node):
    """A node of (first, search): `first(previous step) -> step`, and a search as in `gdjax.optimizers.linesearch.search`."""

    def search(
        self,
        value_fn: Callable[..., Any],
        params: Params,
        direction: Params,
        value: ArrayLike,
        grad: Params,
        previous: ArrayLike = 1.0,
    ) -> SearchResult:
        first, search = self.build()
        return search(value_fn, params, direction, value, grad, first(jnp.asarray(previous)))


register(LineSearch)


line_searcher: Decorator[LineSearch] = decorator(
    LineSearch, "A factory of line searches from a body that returns (first, search)."
)


def noise_floor(approx_dec_rtol: Any, params: Params) -> ArrayLike:
    return 0.0 if approx_dec_rtol is None else jnp.maximum(approx_dec_rtol, 16 * jnp.finfo(flat_dtype(params)).eps)
