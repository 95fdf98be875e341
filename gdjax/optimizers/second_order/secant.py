"""Functions shared by L-BFGS, BFGS and conjugate gradients, which estimate curvature from successive gradients.

They keep the last parameters p' and gradient g' as vectors (see `gdjax.vector`) and use the pairs

    s = p - p',      y = g - g'          the last step, and the change of the gradient

Only pairs with s'y > 0 can come from a convex function; others are ignored. So are pairs whose s'y may be rounding alone:
for a convex quadratic whose condition number is below 1/eps,  s'y >= sqrt(eps) |s| |y|.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.optimizers.linesearch.searcher import objective
from gdjax.vector import dot


def prepare(who: str, grads: Any, params: Any, linesearch: Any, extra_args: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the search. Raises: ValueError if trees differ or an argument is missing."""
    tree.need_params(who, params)
    tree.check_like(who, "grads", grads, "params", params)
    return objective(who, params, linesearch is not None, **extra_args)


def bowl_like(count: jax.Array, ss: jax.Array, sy: jax.Array, yy: jax.Array) -> jax.Array:
    """Whether s'y is positive beyond rounding, and finite. False before the second step."""
    limits = jnp.finfo(sy.dtype)
    rounding = jnp.sqrt(limits.eps) * jnp.sqrt(ss) * jnp.sqrt(yy)
    return (count > 0) & (sy > jnp.maximum(rounding, limits.tiny)) & jnp.isfinite(sy) & jnp.isfinite(yy)


def first_scale(g: jax.Array) -> jax.Array:
    """The scale of the first step, which makes its length at most 1."""
    square = dot(g, g)
    return jnp.where(jnp.isfinite(square), 1 / jnp.sqrt(jnp.maximum(square, 1)), 1)


def descending(direction: jax.Array, steepest: jax.Array, g: jax.Array) -> jax.Array:
    """The direction, unless rounding has turned it uphill."""
    return jnp.where(dot(direction, g) > 0, direction, steepest)


def rate_at(learning_rate: Any, count: jax.Array) -> Any:
    if learning_rate is None:
        return 1.0
    return learning_rate(count) if callable(learning_rate) else learning_rate
