"""The gradient of each leaf scaled to a maximal norm."""

from __future__ import annotations

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.transforms.each_leaf import each_leaf
from gdjax.types import ArrayLike


@optimizer(bounds={"max_norm": "[0, inf)"}, constant=("max_norm",))
def clip_by_norm(max_norm: ArrayLike):
    """Shorten the gradient of each leaf to a largest norm.

        g <- g min(1, max_norm / |g|),      |g| of one leaf; 0 where |g| = 0

    Args:
        max_norm: >= 0, gradient units.

    Memory: 0 x params.
    Reference: Pascanu, Mikolov & Bengio 2013, Algorithm 1 (there for all leaves together), arXiv:1211.5063.

    >>> opt, x, g = gd.clip_by_norm(1.0), jnp.ones(2), jnp.array([3.0, -4.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [0.6 -0.8]
    """
    return each_leaf(lambda g, p: tree.shorten(g, max_norm))
