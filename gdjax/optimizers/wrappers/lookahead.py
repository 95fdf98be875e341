"""Slow weights that move toward the fast weights of an optimizer, which then restarts from them."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from gdjax import answers, tree
from gdjax.calls import as_optimizer, optimizer
from gdjax.optimizers.wrappers.iterates import copy_of
from gdjax.types import ArrayLike, Transformation


class LookaheadState(NamedTuple):
    """`slow_params` are the parameters to evaluate; None if the parameters are a pair that contains them."""

    count: jax.Array  # () int32, updates so far
    slow_params: Any
    inner: Any

    def evaluation_params(self, params: Any) -> Any:
        if isinstance(params, optax.LookaheadParams):
            return optax.LookaheadParams(params.slow, params.slow)
        return tree.cast_like(self.slow_params, params)


@optimizer(
    static=("reset_state",),
    bounds={"sync_period": "[1, inf)", "slow_step_size": "(0, 1]"},
    ints=("sync_period",),
    constant=("sync_period", "slow_step_size"),
)
def lookahead(
    fast_optimizer: Transformation,
    sync_period: int = 6,
    slow_step_size: ArrayLike = 0.5,
    reset_state: bool = False,
):
    """Lookahead: fast weights explore for a few steps, then slow ones go part of the way and the fast start from there.

        fast <- fast + u_inner;      every sync_period updates:  slow <- slow + slow_step_size (fast - slow),  fast <- slow

    The parameters trained are the fast weights; the slow ones are evaluated: `evaluation_params`, which a run does. Or they
    are Optax's pair, `LookaheadParams.init_synced(params)`, with gradients like the fast ones (or like the pair, whose slow
    half is not looked at); then the updates are such a pair, and the slow weights lie in no state.

    Args:
        fast_optimizer: the optimizer of the fast weights.
        sync_period: updates between two meetings, at least 1.
        slow_step_size: in (0, 1], the part of the way.
        reset_state: start the inner optimizer afresh at each meeting.

    Memory: 1 x params (at least float32) + inner.   Raises: ValueError outside these ranges.
    Differs from: optax.lookahead, which takes pairs only, and starts afresh from the fast weights of one step before.
    Reference: Zhang et al. 2019, Algorithm 1, arXiv:1907.08610.

    >>> opt, x, g = gd.lookahead(gd.sgd(0.1), sync_period=1, slow_step_size=0.5), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.05 0.1]
    """
    inner = as_optimizer(fast_optimizer)

    def init(params):
        count = jnp.zeros((), jnp.int32)
        if isinstance(params, optax.LookaheadParams):
            return LookaheadState(count, None, inner.init(params.fast))
        return LookaheadState(count, copy_of(params), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        tree.need_params("lookahead", params, "average them")
        is_pair = isinstance(params, optax.LookaheadParams)
        fast_params, slow_params = params if is_pair else (params, state.slow_params)
        grads = grads.fast if isinstance(grads, optax.LookaheadParams) else grads
        updates, inner_state = inner.update(grads, state.inner, fast_params, **extra_args)
        made = answers.updated(inner_state)
        count = tree.increment(state.count, made, sync_period)
        meets = (count % sync_period == 0) & made

        def move(slow, p, u):
            fast = p.astype(slow.dtype) + u
            new = jnp.where(meets, slow + slow_step_size * (fast - slow), slow).astype(slow.dtype)
            return (new - slow if is_pair else new), jnp.where(meets, new - p, u).astype(u.dtype)

        pairs = tree.leafmap(move, slow_params, fast_params, updates)
        structure = jax.tree.structure(fast_params)
        updates, slow = (structure.unflatten([pair[i] for pair in pairs]) for i in (1, 0))
        if reset_state:
            begun = inner.init(optax.apply_updates(cast(Any, fast_params), updates))
            inner_state = tree.select(meets, begun, inner_state)
        if is_pair:
            return optax.LookaheadParams(updates, slow), LookaheadState(count, None, inner_state)
        return updates, LookaheadState(count, slow, inner_state)

    return init, update
