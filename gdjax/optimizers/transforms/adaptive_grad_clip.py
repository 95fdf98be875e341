"""The gradient of each unit, clipped in proportion to the norm of its parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.transforms.each_leaf import each_leaf
from gdjax.types import ArrayLike


@optimizer(static=("axis",), bounds={"clipping": "[0, inf)", "eps": "[0, inf)"}, constant=("clipping", "eps"))
def adaptive_grad_clip(clipping: ArrayLike, eps: ArrayLike = 1e-3, axis: int | tuple[int, ...] | None = None):
    """Clip the gradient of each unit in proportion to the unit's parameters.

        g <- g min(1, clipping max(|p|, eps) / |g|),      norms over one unit

    Args:
        clipping: >= 0, gradient over parameter units.
        eps: >= 0, parameter units; units of smaller norm, such as those that start at 0, count as this large.
        axis: the axes that make up a unit; None: all axes of a vector, the first of two or three, all but the last of
            more (kernels of dense, attention and convolutional layers, outputs last).

    Memory: 0 x params.   Raises: ValueError if update is called without params.
    Differs from: Optax, which takes |g| as at least 1e-6 and refuses leaves of more than five axes.
    Reference: Brock, De, Smith & Simonyan 2021, equation 3, arXiv:2102.06171.

    >>> opt, x, g = gd.adaptive_grad_clip(0.1), jnp.array([6.0, 8.0]), jnp.array([3.0, -4.0])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [0.6 -0.8]
    """

    def clip_leaf(g: jax.Array, p: Any) -> jax.Array:
        tree.need_params("adaptive_grad_clip", p, "compare the gradient with")
        size, scale = _unit_norm(p, axis)
        return tree.shorten_leaf(g, _unit_norm(g, axis), clipping * jnp.maximum(size / scale, eps))

    return each_leaf(clip_leaf)


def _unit_norm(x: jax.Array, axis: int | tuple[int, ...] | None) -> tree.Norm:
    """Norms over the axes of a unit, these kept with length 1."""
    if axis is None and sum(length != 1 for length in x.shape) > 1:
        axis = 0 if x.ndim <= 3 else tuple(range(x.ndim - 1))
    return tree.norm_along(x, axis)
