"""The perturbed point of sharpness-aware minimization, the gradient there, and its orthogonal component.

All need `value_fn=`, which a step of gdjax passes: the loss of the same batch, as a function of the parameters. Here a
gradient is the direction of ascent, which for complex parameters is the conjugate of that of `jax.grad`.

The perturbed point is in at least float32: rho is often less than the spacing of 16-bit numbers, so that most parameters
would not change. A loss that rejects float32 parameters (as `lax.conv` does with 16-bit data) receives the rounded point,
with a warning.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree


def gradient_at(
    who: str, params: Any, value_fn: Callable[..., Any] | None = None, **extra_args: Any
) -> Callable[[Any], Any]:
    """params -> direction of ascent. Arguments that value_fn has besides the parameters are passed on to it."""
    if params is None or value_fn is None:
        raise ValueError(f"{who}: update needs params and value_fn=, a function params -> value, to look uphill")
    loss: Any = getattr(value_fn, "fine", value_fn)  # that of the parameters as they come, not of their rounding
    named = inspect.signature(loss).parameters
    given = {name: x for name, x in extra_args.items() if name in named}
    gradient = jax.grad(lambda params: loss(params, **given))

    def at(point: Any) -> Any:
        try:
            jax.eval_shape(gradient, point)
        except TypeError:
            rounded = tree.cast_like(point, params)
            if jax.tree.map(jnp.result_type, rounded) == jax.tree.map(jnp.result_type, point):
                raise
            warnings.warn(f"{who}: the loss refuses float32 parameters, the point uphill is rounded", stacklevel=2)
            point = rounded
        return jax.tree.map(jnp.conj, gradient(point))

    return at


def uphill(params: Any, grads: Any, rho: Any, eta: Any = None) -> Any:
    """p + rho g / |g|, in at least float32; p itself at a zero gradient. With eta, adaptive."""
    scales = jax.tree.map(lambda p: 1 if eta is None else tree.absolute(p) + eta, params)
    unit = tree.direction(jax.tree.map(lambda s, g: s * g, scales, grads))
    return jax.tree.map(lambda p, s, u: p + rho * (s * u), params, scales, unit)


def across_from(x: Any, along: Any) -> Any:
    """The component of x that is orthogonal to another tree, in at least float32."""
    x, along = tree.wide(x), tree.wide(along)
    unit = tree.direction(along)
    products = tree.leafmap(lambda a, b: jnp.sum(jnp.real(jnp.conj(a) * b)), unit, x)
    length = sum(products, start=jnp.zeros((), jnp.float32))
    return jax.tree.map(lambda x, a: x - length * a, x, unit)
