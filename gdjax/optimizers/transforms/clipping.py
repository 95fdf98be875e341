"""Gradients made smaller before the inner optimizer sees them.

    clip                 each entry             at most max_delta
    clip_by_norm         each leaf's norm       at most max_norm
    clip_by_global_norm  the norm of all        at most max_norm
    clip_by_block_rms    each leaf's RMS        at most threshold
    adaptive_grad_clip   each unit's norm       at most clipping times that of its parameters

All shorten by a factor min(1, limit / size); where the size is 0 the factor is 1, never 0/0.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls.node import as_optimizer, optimizer
from gdjax.optimizers.transforms.gradient import feed


@optimizer(bounds={"max_delta": "[0, inf)"})
def clip(inner, max_delta):
    """Clip each entry of the gradient before the inner optimizer sees it.

        g <- clip(g, -max_delta, max_delta)          each entry; of a complex one the modulus is shortened

    Args:
        inner: the optimizer to feed.
        max_delta: >= 0, gradient units.

    Memory: 0 + inner.
    Differs from: Optax, which refuses complex gradients.
    Reference: Mikolov 2012, Statistical Language Models Based on Neural Networks (thesis), section 3.2.2.
    """

    def clipped(g: jax.Array, p: Any) -> jax.Array:
        if jnp.iscomplexobj(g):
            return tree.shorten_entries(g, max_delta)
        return jnp.clip(g, -max_delta, max_delta)

    return feed(as_optimizer(inner), clipped)


@optimizer(bounds={"max_norm": "[0, inf)"})
def clip_by_norm(inner, max_norm):
    """Shorten the gradient of each leaf to a largest norm before the inner optimizer sees it.

        g <- g min(1, max_norm / |g|),      |g| of one leaf

    Args:
        inner: the optimizer to feed.
        max_norm: >= 0, gradient units.

    Memory: 0 + inner.
    Reference: Pascanu, Mikolov & Bengio 2013, Algorithm 1 (there for all leaves together), arXiv:1211.5063.
    """
    return feed(as_optimizer(inner), lambda g, p: tree.shorten(g, max_norm))


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
        return inner.update(tree.cast_like(tree.shorten(grads, max_norm), grads), state, params, **extra_args)

    return inner.init, update


@optimizer(bounds={"threshold": "[0, inf)"})
def clip_by_block_rms(inner, threshold):
    """Shorten the gradient of each leaf to a largest root mean square before the inner optimizer sees it.

        g <- g min(1, threshold / RMS(g)),      RMS(g) = sqrt(mean |g|²) of one leaf

    Args:
        inner: the optimizer to feed.
        threshold: >= 0, gradient units.

    Memory: 0 + inner.
    Differs from: Optax, which gives NaN for threshold = 0 at a zero gradient.
    Reference: Shazeer & Stern 2018, section 6, arXiv:1804.04235.
    """

    return feed(as_optimizer(inner), lambda g, p: tree.shortened(g, rms(g), threshold))


@optimizer(static=("axis",), bounds={"clipping": "[0, inf)", "eps": "[0, inf)"})
def adaptive_grad_clip(inner, clipping, eps=1e-3, axis: int | tuple[int, ...] | None = None):
    """Clip the gradient of each unit in proportion to the unit's parameters before the inner optimizer sees it.

        g <- g min(1, clipping max(|p|, eps) / |g|),      norms over one unit

    Args:
        inner: the optimizer to feed.
        clipping: >= 0, gradient over parameter units.
        eps: >= 0, parameter units; units of smaller norm, such as those that start at 0, count as this large.
        axis: the axes that make up a unit; None: all axes of a vector, the first of two or three, all but the last of
            more (kernels of dense, attention and convolutional layers, outputs last).

    Memory: 0 + inner.   Raises: ValueError if update is called without params.
    Differs from: Optax, which takes |g| as at least 1e-6 and refuses leaves of more than five axes.
    Reference: Brock, De, Smith & Simonyan 2021, equation 3, arXiv:2102.06171.
    """

    def clipped(g: jax.Array, p: Any) -> jax.Array:
        if p is None:
            raise ValueError("adaptive_grad_clip: update needs params to compare the gradient with, got None")
        size, scale = _unit_norm(p, axis)
        return tree.shortened(g, _unit_norm(g, axis), clipping * jnp.maximum(size / scale, eps))

    return feed(as_optimizer(inner), clipped)


def rms(x: jax.Array) -> tree.Norm:
    """sqrt(mean |x|²); its gradient at 0 is 0."""
    size, scale = tree.norm(x)
    return tree.Norm(size / max(x.size, 1) ** 0.5, scale)


def _unit_norm(x: jax.Array, axis: int | tuple[int, ...] | None) -> tree.Norm:
    """Norms over the axes of a unit, these kept with length 1."""
    if axis is None and sum(length != 1 for length in x.shape) > 1:
        axis = 0 if x.ndim <= 3 else tuple(range(x.ndim - 1))
    return tree.norm_along(x, axis)
