"""The gradient scaled to length 1."""

from __future__ import annotations

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.transforms.each_leaf import all_leaves


@optimizer
def normalize():
    """Give the gradient length 1, all leaves together.

        g <- g / |g|,      0 where |g| = 0

    Memory: 0 x params.
    Differs from: Optax's contrib.normalize, which gives NaN at a zero gradient.
    Reference: Hazan, Levy & Shalev-Shwartz 2015, Algorithm 1, arXiv:1507.02030.

    >>> opt, x, g = gd.normalize(), jnp.ones(2), jnp.array([3.0, -4.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [0.6 -0.8]
    """
    return all_leaves(tree.direction)
