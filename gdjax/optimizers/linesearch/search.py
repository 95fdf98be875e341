"""Line searches as plain functions that any method with a direction can call; see `line_search`.

    search(value_fn, params, direction, value, grad, step) -> SearchResult

with value and grad at params and the initial step length `step`, tries lengths in one compiled loop. The loop contains a
single evaluation of the value and its gradient (which dominates the compile time) and carries, besides the gradient at the
last trial, only a few numbers. The value and the gradient at the new point are returned for the next iteration.

Near a minimum phi(t) = f(p + t d) changes by less than the rounding of f, while its slope is still accurate. There a trial
whose value equals phi(0) up to rounding is accepted by its slope alone, by the approximate Wolfe condition of Hager & Zhang
2005. A search that fails takes the best length seen, which may be 0; the value never increases and never becomes NaN.

An infinite value means that value and gradient at params are unknown: the search then evaluates them there with step 0. So a
loop that takes value and gradient from the last search needs no other evaluation.
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
    step: jax.Array  # () float, the accepted length; 0 if none decreases the value
    value: jax.Array  # () float, at params + step direction
    grad: Any  # the gradient there, as jax.grad gives it
    evaluations: jax.Array  # () int32, of value and gradient
    failed: jax.Array  # () bool, whether the conditions do not hold
    guess: jax.Array  # () float, initial length for a next search that starts from this one's


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
        """The slope, sum real(g d): JAX's gradient of a real function is the conjugate of the direction of ascent."""
        ascent = jax.tree.map(jnp.conj, grad)
        leaves = [ascent], [self.direction]
        if sum(map(jnp.size, jax.tree.leaves(ascent))) > SMALL:
            leaves = jax.tree.leaves(ascent), jax.tree.leaves(self.direction)
        parts = [jnp.sum(ravel(g, self.dtype) * ravel(d, self.dtype)) for g, d in zip(*leaves, strict=True)]
        return sum(parts, start=jnp.zeros((), self.dtype))

    def at(self, step: jax.Array) -> tuple[jax.Array, Any, jax.Array]:
        """The parameters at a length, computed as by `optax.apply_updates`."""
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
