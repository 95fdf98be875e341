"""The diagonal of the empirical Fisher matrix: squared gradients."""

from __future__ import annotations

import jax
import optax

from gdjax import tree
from gdjax.optimizers.second_order.estimator import estimator


@estimator
def empirical_fisher():
    """The empirical Fisher diagonal, squares of the gradient itself: costs nothing and needs nothing.

        h = g²

    Memory: 0 x params.
    Reference: Liu et al. 2023, section 3.3 (as a baseline), arXiv:2305.14342.

    >>> estimate, x, g = gd.empirical_fisher(), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(estimate.update(g, estimate.init(x), x)[0])
    [1. 4.]
    """

    def update(grads, state, params=None, **extra_args):
        del params, extra_args
        return jax.tree.map(tree.abs_sq, grads), state

    return lambda params: optax.EmptyState(), update
