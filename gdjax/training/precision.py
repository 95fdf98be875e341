"""Mixed precision: parts of a computation in fewer bits, and gradients that are larger while they are computed."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def as_float_dtype(who: str, name: str, dtype: Any) -> np.dtype:
    """A dtype of real floating-point numbers. Raises: ValueError for any other."""
    try:
        found = jnp.dtype(dtype)
    except TypeError:
        found = None
    if found is None or not jnp.issubdtype(found, jnp.floating):
        raise ValueError(
            f"{who}: {name} must be a dtype of real floating-point numbers, such as 'bfloat16', got {dtype!r}"
        )
    return found


def cast_floats(x: Any, dtype: Any) -> Any:
    """The tree with its real floating-point leaves in a dtype; whole numbers, complex numbers and keys as they are."""

    def cast(leaf: Any) -> Any:
        return jnp.asarray(leaf, dtype) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else leaf

    return jax.tree.map(cast, x)


def scale_gradient(x: Any, factor: jax.Array) -> Any:
    """x itself, whose gradient is multiplied by a factor, leaf by leaf."""
    return jax.tree.map(lambda leaf: _scale_gradient(leaf, factor), x)


@jax.custom_jvp
def _scale_gradient(x: jax.Array, factor: jax.Array) -> jax.Array:
    del factor
    return x


@_scale_gradient.defjvp
def _scale_gradient_jvp(primals: Any, tangents: Any) -> Any:
    (x, factor), (along, _) = primals, tangents
    return x, (along * factor).astype(along.dtype)
