"""The gradient of each leaf scaled to a maximal root mean square."""

from __future__ import annotations

import jax

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.transforms.each_leaf import each_leaf
from gdjax.types import ArrayLike


@optimizer(bounds={"threshold": "[0, inf)"}, constant=("threshold",))
def clip_by_block_rms(threshold: ArrayLike):
    """Shorten the gradient of each leaf to a largest root mean square.

        g <- g min(1, threshold / RMS(g)),      RMS(g) = sqrt(mean |g|²) of one leaf; 0 where it is 0

    Args:
        threshold: >= 0, gradient units.

    Memory: 0 x params.
    Differs from: Optax, which gives NaN for threshold = 0 at a zero gradient.
    Reference: Shazeer & Stern 2018, section 6, arXiv:1804.04235.

    >>> opt, x, g = gd.clip_by_block_rms(1.0), jnp.ones(2), jnp.array([3.0, -4.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [0.84853 -1.1314]
    """
    return each_leaf(lambda g, p: tree.shorten_leaf(g, rms(g), threshold))


def rms(x: jax.Array) -> tree.Norm:
    """sqrt(mean |x|²); its gradient at 0 is 0."""
    size, scale = tree.norm(x)
    return tree.Norm(size / max(x.size, 1) ** 0.5, scale)
