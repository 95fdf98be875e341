"""Gradients made smaller before the inner optimizer sees them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.nodes import as_optimizer, optimizer


@optimizer(bounds={"max_norm": "[0, inf)"})
def clip_by_global_norm(inner, max_norm):
    """Shorten the gradient to a largest norm before the inner optimizer sees it.

        g <- g min(1, max_norm / |g|),      |g| over all leaves together

    Args:
        inner: the optimizer to feed.
        max_norm: >= 0, gradient units.

    Memory: 0 + inner.
    Differs from: Optax, which gives NaN for max_norm = 0 at a zero gradient, and for an infinite one. Here both are a
        zero gradient for the finite leaves; entries that are not finite stay so, to be seen.
    Reference: Pascanu, Mikolov & Bengio 2013, Algorithm 1, arXiv:1211.5063.
    """
    inner = as_optimizer(inner)

    def update(grads, state, params=None, **extra_args):
        norm = tree.global_norm(grads)
        factor = jnp.where(norm > max_norm, max_norm / jnp.where(norm > 0, norm, 1), 1)
        clipped = jax.tree.map(lambda g: (g * factor).astype(jnp.result_type(g)), grads)
        return inner.update(clipped, state, params, **extra_args)

    return inner.init, update
