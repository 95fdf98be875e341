"""Many small leaves stacked into a few larger ones.

An update of a thousand leaves of a thousand entries is a thousand small kernels, whose cost is mostly the launch. With
stacks the rule is one kernel per `WIDTH` leaves, and only the sum p + u remains for each leaf. One stack for all leaves
would compile slowly: each leaf is sliced out at its own offset, by its own kernel, which takes 20 s for a thousand leaves.
Stacks of equal width share these kernels: 3 s, compared with 8 s without stacks.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import WithRate, as_optimizer, optimizer
from gdjax.optimizers.leafwise import LiftedRule, check_trees, choices_of_leaves, refuse_integers
from gdjax.types import OptState, Transformation

WIDTH = 64  # leaves in a stack; wider stacks run faster and compile more slowly, but hardly so beyond this

_AXES = OptState(count=None, slots=0)  # type: ignore[arg-type]  # one count, slots stacked


@optimizer
def stacked(inner: Transformation):
    """Stacked: leaves of one shape and dtype are updated together, for trees of many small leaves.

        stack leaves of one shape, dtype and masks;    u = u_inner of every row of every stack, unstacked

    The updates are those of `inner`, to rounding, also where its rule looks at a whole leaf (norms, factors). The state is
    kept stacked: `slots[name]` is a list of arrays with one leading axis more.

    Args:
        inner: an optimizer lifted by `leafwise`, which treats leaves one by one. Its masks are of leaves, not of stacks.

    Memory: 0 + inner.   Raises: TypeError if inner is a wrapper or sees all leaves at once; wrap this one instead.
    Reference: none; torch.optim calls it foreach.

    >>> opt, x = gd.stacked(gd.sgd(0.1)), {"a": jnp.ones(2), "b": jnp.zeros(2)}
    >>> print(opt.update({"a": jnp.array([1.0, -2.0]), "b": jnp.array([3.0, 4.0])}, opt.init(x), x)[0])
    {'a': Array([-0.1,  0.2], dtype=float32), 'b': Array([-0.3, -0.4], dtype=float32)}
    """
    pair = as_optimizer(inner).build()
    if not isinstance(pair, LiftedRule):
        raise TypeError(
            f"stacked: inner must be lifted by leafwise, which treats leaves one by one, got {inner!r}; "
            "of wrappers, put stacked inside"
        )
    fill, _ = pair.with_masks({})  # a mask is of whole trees, not of stacks

    def init(params):
        refuse_integers("stacked", params)
        count, names = fill(())
        leaves = jax.tree.leaves(params)
        if not leaves:  # such a tree stands for all (`optax.tree.map_params`)
            return OptState(count, dict.fromkeys(names, params))
        stacks = [_stack(leaves, members) for _, members in _plan(params, pair.masks)]
        slots = [jax.vmap(fill, out_axes=_AXES)(stack).slots for stack in stacks]
        return OptState(count, {name: [x[name] for x in slots] for name in names})

    def update(grads, state, params=None, **extra_args):
        del extra_args
        check_trees("stacked", grads, params, needs_params=False)
        leaves, structure = jax.tree.flatten(grads)
        if not leaves:
            return grads, state
        beside: list[Any] = [None] * len(leaves) if params is None else jax.tree.leaves(params)
        updates: list[Any] = [None] * len(leaves)
        slots: dict[str, list[Any]] = {name: [] for name in state.slots}
        for k, (chosen, members) in enumerate(_plan(grads if params is None else params, pair.masks)):
            decay = _separate_decay(pair, leaves[members[0]], beside[members[0]], state.count)
            row_pair = pair.with_masks(chosen) if decay is None else pair.undecayed(chosen)
            row_update = jax.vmap(row_pair[1], in_axes=(0, _AXES, 0), out_axes=(0, _AXES))
            before = OptState(state.count, {name: stacks[k] for name, stacks in state.slots.items()})
            p = None if params is None or decay is not None else _stack(beside, members)
            u, new = row_update(_stack(leaves, members), before, p)
            for row, i in enumerate(members):
                updates[i] = jax.lax.index_in_dim(u, row, keepdims=False)
                if decay is not None and chosen["weight_decay"]:
                    updates[i] -= decay * beside[i]
            for name, stacks in slots.items():
                stacks.append(new.slots[name])
        count = None if state.count is None else tree.increment(state.count)
        return structure.unflatten(updates), OptState(count, slots)

    return WithRate(init, update, pair.rate_at, pair.exact)


def _plan(like: Any, masks: Any) -> list[tuple[dict[str, bool], list[int]]]:
    """The stacks of a tree: which masked hyperparameters they have, and the indices of their leaves."""
    alike: dict[Any, list[int]] = {}
    choices = choices_of_leaves(masks, like)
    for i, (x, chosen) in enumerate(zip(jax.tree.leaves(like), choices, strict=True)):
        alike.setdefault((jnp.shape(x), jnp.result_type(x), *chosen.values()), []).append(i)
    stacks = [ids[i : i + WIDTH] for ids in alike.values() for i in range(0, len(ids), WIDTH)]
    return [(choices[members[0]], members) for members in stacks]


def _separate_decay(pair: LiftedRule, g: Any, p: Any, count: Any) -> jax.Array | None:
    """The share of p that a step subtracts, if it can be applied to each leaf separately, since p + u reads p anyway.

    Then the parameters need not be stacked. This is impossible in 16 bits, where the sum is rounded once, after the decay.
    """
    if pair.decay is None or p is None or not g.dtype == p.dtype == tree.arithmetic_dtype(g):
        return None
    return jnp.asarray(pair.decay(count), jnp.finfo(p.dtype).dtype)


def _stack(leaves: list[Any], members: list[int]) -> jax.Array:
    return jnp.stack([leaves[i] for i in members])
