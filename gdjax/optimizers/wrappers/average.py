"""Averages of the iterates of any optimizer: exponential averages, tail averages, and lookahead with slow weights.

An average does not change the iterates (lookahead does). The state provides `evaluation_params(params)`.

The parameters after an update enter the average at the next call, when the outer wrappers (a plateau, a decay, a projection)
have been applied, and the present ones when `evaluation_params` is called. A call at which the inner optimizer makes no
update does not count.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from gdjax import answers, tree
from gdjax.calls import as_optimizer, optimizer
from gdjax.types import ScalarOrSchedule, Transformation


def _zeros(params: Any) -> Any:
    return jax.tree.map(lambda p: jnp.zeros_like(p, tree.arithmetic_dtype(p)), params)


def _copy(params: Any) -> Any:
    return jax.tree.map(lambda p: jnp.array(p, dtype=tree.arithmetic_dtype(p), copy=True), params)


def _with_present(mean: Any, share: jax.Array, params: Any) -> Any:
    """The mean with the present parameters included; a leaf that never changes is returned exactly."""

    def of_leaf(m, p):
        part = share.astype(jnp.finfo(m.dtype).dtype)
        return jnp.where(part > 0, m + part * (p - m), m).astype(m.dtype)

    return jax.tree.map(of_leaf, mean, params)


def _need(who: str, params: Any) -> None:
    if params is None:
        raise ValueError(f"{who}: update needs params to average them, got None")


class AverageState(NamedTuple):
    """`ema` is in at least float32, since small changes would be lost in bfloat16."""

    is_average = True
    count: jax.Array  # () int32, updates so far
    ema: Any  # the average up to the last update but one, its bias taken off
    debias: jax.Array  # () float, the weight of all iterates up to the last one
    share: jax.Array  # () float, of the parameters that the last call led to; 0 where it made no update
    inner: Any

    def evaluation_params(self, params: Any) -> Any:
        """The average; the parameters themselves before the first update."""
        return tree.select(self.debias > 0, _with_present(self.ema, self.share, params), params)


@optimizer(static=("debias",), bounds={"decay": "[0, 1)"})
def average(inner: Transformation, decay: ScalarOrSchedule = 0.999, debias: bool = True):
    """Exponential moving average of the parameters, to evaluate and to keep.

        ema <- decay ema + (1 - decay) p,      evaluated: ema / (1 - decay^t)           p after each of t updates

    Args:
        inner: the optimizer whose path is averaged, and not changed.
        decay: in [0, 1); memory of about 1/(1 - decay) updates; number, or schedule of the updates made before.
        debias: False starts the average at the first parameters instead of correcting for its start.

    Memory: 1 x params (at least float32) + inner.   Raises: ValueError if decay is outside [0, 1).
    Reference: Polyak & Juditsky 1992; Tarvainen & Valpola 2017, arXiv:1703.01780.
    """
    inner = as_optimizer(inner)

    def init(params):
        zero = jnp.zeros((), jnp.result_type(float))
        ema, weight = (_zeros(params), zero) if debias else (_copy(params), zero + 1)
        return AverageState(jnp.zeros((), jnp.int32), ema, weight, zero, inner.init(params))

    def update(grads, state, params=None, **extra_args):
        _need("average", params)
        updates, inner_state = inner.update(grads, state.inner, params, **extra_args)
        made = answers.updated(inner_state)
        keep = jnp.asarray(decay(state.count) if callable(decay) else decay, state.debias.dtype)
        weight = keep * state.debias + (1 - keep)
        share = (1 - keep) / jnp.where(weight > 0, weight, 1)
        new = AverageState(
            tree.increment(state.count, made),
            _with_present(state.ema, state.share, params),
            answers.if_updated(made, weight, state.debias),
            answers.if_updated(made, share, jnp.zeros_like(share)),
            inner_state,
        )
        return updates, new

    return init, update


class TailState(NamedTuple):
    is_average = True
    count: jax.Array  # () int32, updates so far
    mean: Any  # of the iterates taken but for the last; in at least float32
    averaged: jax.Array  # () int32, how many are taken, the last one too
    share: jax.Array  # () float, of the parameters that the last call led to; 0 where they are not taken
    inner: Any

    def evaluation_params(self, params: Any) -> Any:
        """The mean of the tail; the parameters themselves before it begins."""
        return tree.select(self.averaged > 0, _with_present(self.mean, self.share, params), params)


@optimizer(bounds={"start": "[0, inf)", "every": "[1, inf)"}, ints=("start", "every"))
def tail_average(inner: Transformation, start: int = 0, every: int = 1):
    """Uniform average of the last iterates (SWA), to evaluate and to keep.

        mean <- mean + (p - mean) / n       for the n-th of the updates t > start with t - start a multiple of every

    Args:
        inner: the optimizer whose path is averaged, and not changed; for SWA at a constant or cyclic rate.
        start: updates left out at the beginning.
        every: take the parameters after each so-many-th update: the length of a cycle.

    Memory: 1 x params (at least float32) + inner.   Raises: ValueError outside these ranges.
    Reference: Polyak & Juditsky 1992; Izmailov et al. 2018, Algorithm 1, arXiv:1803.05407.
    """
    inner = as_optimizer(inner)

    def init(params):
        zero = jnp.zeros((), jnp.int32)
        share = jnp.zeros((), jnp.result_type(float))
        return TailState(zero, _zeros(params), zero, share, inner.init(params))

    def update(grads, state, params=None, **extra_args):
        _need("tail_average", params)
        updates, inner_state = inner.update(grads, state.inner, params, **extra_args)
        made = answers.updated(inner_state)
        count = tree.increment(state.count, made, every)
        taken = (count > start) & ((count - start) % every == 0) & made
        averaged = tree.increment(state.averaged, taken)
        share = jnp.where(taken, 1 / jnp.maximum(averaged, 1).astype(state.share.dtype), 0)
        mean = _with_present(state.mean, state.share, params)
        return updates, TailState(count, mean, averaged, share, inner_state)

    return init, update


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
    static=("reset_state",), bounds={"sync_period": "[1, inf)", "slow_step_size": "(0, 1]"}, ints=("sync_period",)
)
def lookahead(
    fast_optimizer: Transformation,
    sync_period: int = 6,
    slow_step_size: ScalarOrSchedule = 0.5,
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
    """
    inner = as_optimizer(fast_optimizer)

    def init(params):
        count = jnp.zeros((), jnp.int32)
        if isinstance(params, optax.LookaheadParams):
            return LookaheadState(count, None, inner.init(params.fast))
        return LookaheadState(count, _copy(params), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        _need("lookahead", params)
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

        moved = tree.leafmap(move, slow_params, fast_params, updates)
        structure = jax.tree.structure(fast_params)
        updates, slow = (structure.unflatten([pair[i] for pair in moved]) for i in (1, 0))
        if reset_state:
            begun = inner.init(optax.apply_updates(cast(Any, fast_params), updates))
            inner_state = tree.select(meets, begun, inner_state)
        if is_pair:
            return optax.LookaheadParams(updates, slow), LookaheadState(count, None, inner_state)
        return updates, LookaheadState(count, slow, inner_state)

    return init, update
