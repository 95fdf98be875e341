"""Averages of the iterates, beside any optimizer: exponential, of the tail, slow weights.

The optimizer's path is not changed by an average (by lookahead it is). The state offers `evaluation_params(params)`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.nodes import as_optimizer, optimizer


class AverageState(NamedTuple):
    """`ema` in at least float32, whatever the parameters: in bfloat16 small changes would be lost."""

    count: jax.Array
    ema: Any
    debias: jax.Array  # () float, the weight that ema holds by now
    inner: Any

    def evaluation_params(self, params: Any) -> Any:
        """The average; the parameters themselves before the first update. An inner average is asked first."""
        weight = jnp.where(self.count > 0, self.debias, 1)
        return tree.select(self.count > 0, jax.tree.map(lambda x: x / weight, self.ema), params)


def _copy(params: Any) -> Any:
    return jax.tree.map(lambda p: jnp.array(p, dtype=tree.arithmetic_dtype(p), copy=True), params)


def _moved(params: Any, updates: Any) -> Any:
    """Where `optax.apply_updates` will put the parameters, rounding included."""
    return jax.tree.map(lambda p, u: (p + u).astype(p.dtype), params, updates)


def _need(who: str, params: Any) -> None:
    if params is None:
        raise ValueError(f"{who}: update needs params to average them, got None")


@optimizer(static=("debias",), bounds={"decay": "[0, 1)"})
def average(inner, decay=0.999, debias=True):
    """Exponential moving average of the parameters, to evaluate and to keep.

        ema <- decay ema + (1 - decay) (p + u),      evaluated: ema / (1 - decay^t)

    Args:
        inner: the optimizer whose path is averaged, and not changed.
        decay: in [0, 1); memory of about 1/(1 - decay) steps; number or schedule.
        debias: False starts the average at the first parameters instead of correcting for its start.

    Memory: 1 x params (at least float32) + inner.   Raises: ValueError if decay is outside [0, 1).
    Reference: Polyak & Juditsky 1992; Tarvainen & Valpola 2017, arXiv:1703.01780.
    """
    inner = as_optimizer(inner)

    def init(params):
        ema = _copy(params)
        ema = jax.tree.map(jnp.zeros_like, ema) if debias else ema
        weight = jnp.asarray(0.0 if debias else 1.0, jnp.result_type(float))
        return AverageState(jnp.zeros((), jnp.int32), ema, weight, inner.init(params))

    def update(grads, state, params=None, **extra_args):
        _need("average", params)
        updates, inner_state = inner.update(grads, state.inner, params, **extra_args)
        keep = decay(state.count) if callable(decay) else decay

        def blend(x, p):
            return (keep * x + (1 - keep) * p).astype(x.dtype)

        ema = jax.tree.map(blend, state.ema, _moved(params, updates))
        weight = blend(state.debias, jnp.ones_like(state.debias))
        return updates, AverageState(state.count + 1, ema, weight, inner_state)

    return init, update


class TailState(NamedTuple):
    count: jax.Array
    mean: Any  # in at least float32
    averaged: jax.Array  # () int32, how many iterates it is the mean of
    inner: Any

    def evaluation_params(self, params: Any) -> Any:
        """The mean of the tail; the parameters themselves before it begins."""
        return tree.select(self.averaged > 0, self.mean, params)


@optimizer(bounds={"start": "[0, inf)", "every": "[1, inf)"})
def tail_average(inner, start: int = 0, every: int = 1):
    """Uniform average of the last iterates (SWA), to evaluate and to keep.

        mean <- mean + (p + u - mean) / n       for the n-th of the steps t > start with t - start a multiple of every

    Args:
        inner: the optimizer whose path is averaged, and not changed; for SWA at a constant or cyclic rate.
        start: steps left out at the beginning.
        every: take each so-many-th iterate: the length of a cycle.

    Memory: 1 x params (at least float32) + inner.   Raises: ValueError outside these ranges.
    Reference: Polyak & Juditsky 1992; Izmailov et al. 2018, Algorithm 1, arXiv:1803.05407.
    """
    inner = as_optimizer(inner)

    def init(params):
        zero = jnp.zeros((), jnp.int32)
        return TailState(zero, _copy(params), zero, inner.init(params))

    def update(grads, state, params=None, **extra_args):
        _need("tail_average", params)
        updates, inner_state = inner.update(grads, state.inner, params, **extra_args)
        count = state.count + 1
        taken = (count > start) & ((count - start) % every == 0)
        averaged = state.averaged + taken.astype(jnp.int32)
        share = jnp.where(taken, 1 / jnp.maximum(averaged, 1), 0)
        mean = jax.tree.map(lambda x, p: (x + share * (p - x)).astype(x.dtype), state.mean, _moved(params, updates))
        return updates, TailState(count, mean, averaged, inner_state)

    return init, update


class LookaheadState(NamedTuple):
    """`slow_params` is what to evaluate."""

    count: jax.Array
    slow_params: Any
    inner: Any

    def evaluation_params(self, params: Any) -> Any:
        return tree.cast_like(self.slow_params, params)


@optimizer(static=("reset_state",), bounds={"sync_period": "[1, inf)", "slow_step_size": "(0, 1]"})
def lookahead(inner, sync_period: int = 6, slow_step_size=0.5, reset_state=False):
    """Lookahead: fast weights explore for a few steps, then slow ones go part of the way and the fast start from there.

        fast <- fast + u_inner;      every sync_period steps:  slow <- slow + slow_step_size (fast - slow),  fast <- slow

    The parameters trained are the fast weights; the slow ones are evaluated: `evaluation_params`, which a run does.

    Args:
        inner: the optimizer of the fast weights.
        sync_period: steps between two meetings, at least 1.
        slow_step_size: in (0, 1], the part of the way.
        reset_state: start the inner optimizer afresh at each meeting.

    Memory: 1 x params (at least float32) + inner.   Raises: ValueError outside these ranges.
    Differs from: optax.lookahead, which needs the parameters as a pair (fast, slow).
    Reference: Zhang et al. 2019, Algorithm 1, arXiv:1907.08610.
    """
    inner = as_optimizer(inner)

    def init(params):
        return LookaheadState(jnp.zeros((), jnp.int32), _copy(params), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        _need("lookahead", params)
        updates, inner_state = inner.update(grads, state.inner, params, **extra_args)
        count = state.count + 1
        meets = count % sync_period == 0

        def move(slow, p, u):
            fast = p.astype(slow.dtype) + u
            slow = jnp.where(meets, slow + slow_step_size * (fast - slow), slow).astype(slow.dtype)
            return slow, jnp.where(meets, slow - p, u).astype(u.dtype)

        moved = tree.leafmap(move, state.slow_params, params, updates)
        structure = jax.tree.structure(params)
        if reset_state:
            inner_state = tree.select(meets, inner.init(cast(Any, params)), inner_state)
        new = LookaheadState(count, structure.unflatten([slow for slow, _ in moved]), inner_state)
        return structure.unflatten([u for _, u in moved]), new

    return init, update
