"""Decoupled weight decay around any optimizer."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.nodes import as_optimizer, optimizer


class DecayState(NamedTuple):
    count: jax.Array
    inner: Any


@optimizer(static=("mask",), bounds={"weight_decay": "[0, inf)"})
def decay_weights(inner, weight_decay, mask: Any = None):
    """Decoupled weight decay around any optimizer that has a learning rate.

        u <- u_inner - learning_rate weight_decay p          on the leaves of the mask

    Args:
        inner: an optimizer with a learning rate; its rate at the step scales the decay.
        weight_decay: >= 0, per step and unit of learning rate; number or schedule.
        mask: a tree of bools (or a prefix of one), or params -> such a tree; None decays all.

    Memory: 0 + inner.   Raises: ValueError if inner has no learning rate.
    Reference: Loshchilov & Hutter 2019, Algorithm 2, arXiv:1711.05101.
    """
    inner = as_optimizer(inner)
    if inner.learning_rate_at(0) is None:
        raise ValueError(f"decay_weights: inner must have a learning rate, got {inner!r}")

    def init(params):
        return DecayState(jnp.zeros((), jnp.int32), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        if params is None:
            raise ValueError("decay_weights: update needs params to decay them, got None")
        updates, inner_state = inner.update(grads, state.inner, params, **extra_args)
        strength = weight_decay(state.count) if callable(weight_decay) else weight_decay
        factor = inner.learning_rate_at(state.count) * strength

        def decay(u, p, decays):
            return (u - factor * p).astype(u.dtype) if decays else u

        updates = jax.tree.map(decay, updates, params, tree.spread_mask(mask, params))
        return updates, DecayState(state.count + 1, inner_state)

    return init, update
