"""Each entry of the gradient clipped to a maximal absolute value."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.transforms.each_leaf import each_leaf
from gdjax.types import ArrayLike


@optimizer(bounds={"max_delta": "[0, inf)"}, constant=("max_delta",))
def clip(max_delta: ArrayLike):
    """Clip each entry of the gradient.

        g <- clip(g, -max_delta, max_delta)          each entry; of a complex one the modulus is shortened

    Args:
        max_delta: >= 0, gradient units.

    Memory: 0 x params.
    Differs from: Optax, which refuses complex gradients.
    Reference: Mikolov 2012, Statistical Language Models Based on Neural Networks (thesis), section 3.2.2.

    >>> opt, x, g = gd.clip(1.0), jnp.ones(2), jnp.array([0.5, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [0.5 -1.]
    """

    def clip_leaf(g: jax.Array, p: Any) -> jax.Array:
        if jnp.iscomplexobj(g):
            return tree.shorten_entries(g, max_delta)
        return jnp.clip(g, -max_delta, max_delta)

    return each_leaf(clip_leaf)
