"""Parts of the averages of the iterates: sums in at least float32 that include the present parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree


def zeros_like(params: Any) -> Any:
    return jax.tree.map(lambda p: jnp.zeros_like(p, tree.arithmetic_dtype(p)), params)


def copy_of(params: Any) -> Any:
    return jax.tree.map(lambda p: jnp.array(p, dtype=tree.arithmetic_dtype(p), copy=True), params)


def with_present(mean: Any, share: jax.Array, params: Any) -> Any:
    """The mean with the present parameters included; a leaf that never changes is returned exactly."""

    def of_leaf(m, p):
        part = share.astype(jnp.finfo(m.dtype).dtype)
        return jnp.where(part > 0, m + part * (p - m), m).astype(m.dtype)

    return jax.tree.map(of_leaf, mean, params)
