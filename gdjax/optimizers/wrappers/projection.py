"""Steps that stay inside a set."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.nodes import as_optimizer, optimizer


@optimizer(static=("mask",))
def project(inner, onto, mask: Any = None):
    """Projected descent: after each step the parameters are the nearest point of a set.

        u <- P(p + u) - p

    Parameters that start outside are moved into the set by the first step.

    Args:
        inner: the optimizer of the free step.
        onto: the set, one of `gdjax.projections` such as `l2_ball(1.0)`, or any function params -> params.
        mask: which leaves make up the point that is projected: a tree of bools (or a prefix of one), or params -> such a
            tree; None means all.

    Memory: 0 + inner.   Raises: ValueError if update is called without params.
    Reference: Goldstein 1964, Bulletin of the AMS 70, page 709; Bertsekas 2016, Nonlinear Programming, section 3.3.
    """
    inner = as_optimizer(inner)

    def update(grads, state, params=None, **extra_args):
        if params is None:
            raise ValueError("project: update needs params to project them, got None")
        updates, state = inner.update(grads, state, params, **extra_args)
        chosen = tree.spread_mask(mask, params)
        wide = lambda x: jnp.asarray(x, tree.arithmetic_dtype(x))  # noqa: E731
        moved = jax.tree.map(lambda p, u, c: wide(p) + wide(u) if c else None, params, updates, chosen)
        nearest = onto(moved)

        def back(p, u, c, m, n):
            # Where the set leaves the point alone the update keeps its bits.
            return jnp.where(n == m, u, n - p).astype(u.dtype) if c else u

        return jax.tree.map(back, params, updates, chosen, moved, nearest), state

    return inner.init, update
