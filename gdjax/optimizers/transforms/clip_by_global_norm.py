"""The whole gradient scaled to a maximal norm."""

from __future__ import annotations

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.transforms.each_leaf import all_leaves
from gdjax.types import ArrayLike


@optimizer(bounds={"max_norm": "[0, inf)"}, constant=("max_norm",))
def clip_by_global_norm(max_norm: ArrayLike):
    """Shorten the gradient to a largest norm.

        g <- g min(1, max_norm / |g|),      |g| over all leaves together; 0 where |g| = 0

    Args:
        max_norm: >= 0, gradient units.

    Memory: 0 x params.
    Differs from: Optax, which gives NaN for max_norm = 0 at a zero gradient, and for an infinite one. Here both are a
        zero gradient for the finite leaves; entries that are not finite stay so, to be seen.
    Reference: Pascanu, Mikolov & Bengio 2013, Algorithm 1, arXiv:1211.5063.

    >>> opt, x, g = gd.clip_by_global_norm(1.0), jnp.ones(2), jnp.array([3.0, -4.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [0.6 -0.8]
    """
    return all_leaves(lambda grads: tree.shorten(grads, max_norm))
