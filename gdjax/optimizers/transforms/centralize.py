"""The gradient of each matrix less its mean."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax.calls import optimizer
from gdjax.optimizers.transforms.each_leaf import each_leaf


@optimizer(static=("axis",))
def centralize(*, axis: int | tuple[int, ...] | None = None):
    """Take its mean off the gradient of each matrix.

        g <- g - mean(g)        over `axis`, for leaves of two axes or more that are longer than 1 along it

    Args:
        axis: the axes of the mean; None: all but the first, as in Optax. The paper's mean is over a unit's inputs: for
            kernels (inputs, outputs), as those of `gdjax.models`, that is axis=0.

    Memory: 0 x params.
    Differs from: Optax, where a kernel (inputs, 1) never moves: each mean is over the one entry.
    Reference: Yong, Huang, Hua & Zhang 2020, equation 1, arXiv:2004.01461.

    >>> opt, x, g = gd.centralize(), jnp.ones((2, 2)), jnp.array([[1.0, 3.0], [2.0, 8.0]])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [[-1. 1.]
     [-3. 3.]]
    """

    def center(g: jax.Array, p: Any) -> jax.Array:
        if g.ndim < 2 or g.size == 0:
            return g
        mean = jnp.mean(g, axis=tuple(range(1, g.ndim)) if axis is None else axis, keepdims=True)
        return g if mean.shape == g.shape else g - mean  # over one entry each it would be the gradient itself

    return each_leaf(center)
