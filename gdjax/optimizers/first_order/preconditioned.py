"""Kronecker-factored preconditioners: one matrix for each axis of a leaf, in place of one for all of its entries.

Each method is written for one leaf, as (init_leaf, step_leaf), and lifted by `leaf_by_leaf`; unlike in `leafwise`, its state
may be any tree, such as one matrix per axis. The expensive refresh of a preconditioner is inside a `lax.cond`, so that it is
computed only when it is due.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.optimizers.leafwise import refuse_integers


class PreconditionedState(NamedTuple):
    count: jax.Array  # updates so far, () int32
    leaves: Any  # a tree like the parameters, at each leaf a dict by the equation's symbols


def leaf_by_leaf(
    who: str,
    init_leaf: Callable[..., Any],
    step_leaf: Callable[..., Any],
    learning_rate: Any,
    weight_decay: Any,
    mask: Any,
    period: Any,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(init, update) from init_leaf(p) -> state and step_leaf(g, count, i, state) -> (direction, state); leaf number i.

    period is how often the preconditioners are refreshed.
    """

    def init(params):
        refuse_integers(who, params)
        tree.check_mask(mask, params)
        leaves = jax.tree.map(lambda p: init_leaf(p.astype(tree.arithmetic_dtype(p))), params)
        return PreconditionedState(jnp.zeros((), jnp.int32), leaves)

    def update(grads, state, params=None, **extra_args):
        del extra_args
        tree.need_params(who, params)
        tree.check_like(who, "grads", grads, "params", params)
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        decay = weight_decay(state.count) if callable(weight_decay) else weight_decay
        structure = jax.tree.structure(params)
        numbers = structure.unflatten(range(structure.num_leaves))

        def of_leaf(g, p, i, decays, old):
            wide = tree.arithmetic_dtype(g, p)
            direction, new = step_leaf(g.astype(wide), state.count, i, old)
            step = rate * (direction + (decay * p if decays else 0))
            return (-step).astype(p.dtype), tree.cast_like(new, old)

        done = tree.leafmap(of_leaf, grads, params, numbers, tree.spread_mask(mask, params), state.leaves)
        leaves = structure.unflatten([new for _, new in done])
        return structure.unflatten([u for u, _ in done]), PreconditionedState(
            tree.increment(state.count, period=period), leaves
        )

    return init, update


def along(matrix: jax.Array, x: jax.Array, axis: int) -> jax.Array:
    """The matrix applied to every fiber of x along an axis."""
    return jnp.moveaxis(jnp.tensordot(matrix, x, axes=(1, axis)), 0, axis)


def gram(x: jax.Array, axis: int) -> jax.Array:
    """The sum of the outer products of the fibers along an axis, (d, d), Hermitian."""
    flat = jnp.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
    return flat @ jnp.conj(flat.T)


def adjoint_of(matrix: jax.Array) -> jax.Array:
    return jnp.conj(matrix.T)
