"""Updates clipped to the root mean square that their learning rate implies."""

from __future__ import annotations

import jax

from gdjax import tree
from gdjax.calls import as_optimizer, optimizer, rates_of_leaves
from gdjax.optimizers.transforms.clip_by_block_rms import rms
from gdjax.types import ArrayLike, Transformation


@optimizer(bounds={"threshold": "[0, inf)"}, constant=("threshold",))
def stable(inner: Transformation, threshold: ArrayLike = 1.0):
    """Update clipping: a leaf whose update is longer than its learning rate allows is shortened.

        u <- u / max(1, RMS(u / learning_rate) / threshold),      RMS(x) = sqrt(mean |x|²) of each leaf

    For optimizers whose update entries are of the order of the learning rate (`adam`, `rmsprop`, `lion` and their like): a
    gradient that the second moment has not caught up with then costs a step of usual length, not a spike.

    Args:
        inner: an optimizer with a learning rate, or with one for each leaf; its decoupled decay is part of the update.
        threshold: >= 0; the RMS allowed, in units of the learning rate.

    Memory: 0 + inner.   Raises: ValueError if inner has no learning rate.
    Differs from: StableAdamW, which divides the rate by max(1, RMS(g / sqrt(nu))); that ratio is Adam's own, the RMS of
        the update itself is what any optimizer has. They agree for b1 = 0 without decay.
    Reference: Wortsman et al. 2023, Algorithm 2, arXiv:2304.13013; Shazeer & Stern 2018, section 6, arXiv:1804.04235.

    >>> opt, x, g = gd.stable(gd.sgd(0.1)), jnp.ones(2), jnp.array([3.0, -3.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.1 0.1]
    """
    inner = as_optimizer(inner)
    if inner.learning_rates_at(0) is None:
        raise ValueError(f"stable: inner must have a learning rate, got {inner!r}")

    def update(grads, state, params=None, **extra_args):
        updates, new = inner.update(grads, state, params, **extra_args)
        leaves, structure = jax.tree.flatten(updates)
        rates = rates_of_leaves("stable", inner, state, extra_args.get("evaluation"), len(leaves))

        def shorten(u, rate):
            return u if rate is None else tree.shorten_leaf(u, rms(u), threshold * rate).astype(u.dtype)

        return structure.unflatten(map(shorten, leaves, rates)), new

    return inner.init, update
