"""Decoupled weight decay around any optimizer."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import answers, tree
from gdjax.calls import as_optimizer, optimizer, rates_of_leaves
from gdjax.types import ScalarOrSchedule, Transformation


class DecayState(NamedTuple):
    count: jax.Array  # () int32, updates so far
    inner: Any


@optimizer(static=("mask",), bounds={"weight_decay": "[0, inf)"})
def decay_weights(inner: Transformation, weight_decay: ScalarOrSchedule, mask: Any = None):
    """Decoupled weight decay around any optimizer that has a learning rate.

        u <- u_inner - learning_rate weight_decay p          on the leaves of the mask, at each update of inner

    Args:
        inner: an optimizer with a learning rate, or with one for each leaf (`partition`): the rate of the update scales the
            decay, that of a plateau included. What it freezes does not decay.
        weight_decay: >= 0, per update and unit of learning rate; number, or schedule of the updates made.
        mask: a tree of bools (or a prefix of one), or params -> such a tree; None decays all.

    Memory: 0 + inner.   Raises: ValueError if inner has no learning rate.
    Reference: Loshchilov & Hutter 2019, Algorithm 2, arXiv:1711.05101.

    >>> opt, x, g = gd.decay_weights(gd.sgd(0.1), 0.01), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.101 0.199]
    """
    inner = as_optimizer(inner)
    if inner.learning_rates_at(0) is None:
        raise ValueError(f"decay_weights: inner must have a learning rate, got {inner!r}")

    def init(params):
        tree.check_mask(mask, params)
        return DecayState(jnp.zeros((), jnp.int32), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        tree.need_params("decay_weights", params, "decay them")
        updates, inner_state = inner.update(grads, state.inner, params, **extra_args)
        strength = weight_decay(state.count) if callable(weight_decay) else weight_decay
        number = len(jax.tree.leaves(params))
        rates = rates_of_leaves("decay_weights", inner, state.inner, extra_args.get("evaluation"), number)
        made = answers.updated(inner_state)

        def decay(u, p, decays, rate):
            if not decays or rate is None:
                return u
            return (u - answers.if_updated(made, jnp.asarray(rate * strength), 0) * p).astype(u.dtype)

        leaves, structure = jax.tree.flatten(updates)
        decays = jax.tree.leaves(tree.spread_mask(mask, params))
        decayed = structure.unflatten(map(decay, leaves, jax.tree.leaves(params), decays, rates))
        new = DecayState(tree.increment(state.count, made), inner_state)
        return decayed, new

    return init, update
