"""Optimizer -> Optimizer: what cuts across rules is wrapped around them, never a flag of their constructors.

A wrapper's arguments are leaves like any other's: in `clip_by_global_norm(adam(1e-3), 1.0)` the inner rate is the leaf
`.inner.learning_rate`. A wrapper that scales the rate shows by how much as `rate_scale` on its state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdjax import tree
from gdjax.nodes import as_optimizer, optimizer


@optimizer
def chain(*optimizers):
    """One after the other: the updates of each are the gradients of the next.

    Like `optax.chain`, for ours and Optax's mixed, but a value: the numbers of ours stay leaves.

    Memory: the sum of its parts.
    Reference: optax.chain.
    """
    return optax.chain(*map(as_optimizer, optimizers))


@optimizer(bounds={"max_norm": "[0, inf)"})
def clip_by_global_norm(inner, max_norm):
    """Shorten the gradient to a largest norm before the inner optimizer sees it.

        g <- g min(1, max_norm / |g|),      |g| over all leaves together

    Args:
        inner: the optimizer to feed.
        max_norm: >= 0, gradient units.

    Memory: 0 + inner.
    Differs from: Optax, which gives NaN for max_norm = 0 at a zero gradient, and for an infinite one. Here both are a
        zero gradient for the finite leaves; entries that are not finite stay so, to be seen.
    Reference: Pascanu, Mikolov & Bengio 2013, Algorithm 1, arXiv:1211.5063.
    """
    inner = as_optimizer(inner)

    def update(grads, state, params=None, **extra_args):
        norm = tree.global_norm(grads)
        factor = jnp.where(norm > max_norm, max_norm / jnp.where(norm > 0, norm, 1), 1)
        clipped = jax.tree.map(lambda g: (g * factor).astype(jnp.result_type(g)), grads)
        return inner.update(clipped, state, params, **extra_args)

    return inner.init, update


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


class PlateauState(NamedTuple):
    rate_scale: jax.Array  # () float, what the inner updates are multiplied by
    best: jax.Array  # () float, least value seen
    plateau_count: jax.Array  # () int32, evaluations since it improved
    cooldown_count: jax.Array  # () int32, evaluations still to be ignored
    seen: jax.Array  # () int32, evaluations taken in
    inner: Any


@optimizer(
    bounds={
        "factor": "(0, 1)",
        "patience": "[1, inf)",
        "rtol": "[0, inf)",
        "atol": "[0, inf)",
        "cooldown": "[0, inf)",
        "min_scale": "[0, 1]",
    }
)
def reduce_on_plateau(inner, factor=0.1, patience: int = 10, rtol=1e-4, atol=0.0, cooldown: int = 0, min_scale=0.0):
    """Drop on plateau: after `patience` evaluations without improvement, multiply the rate by `factor`.

        improved  <=>  value < best - max(rtol |best|, atol)
        rate_scale <- max(factor rate_scale, min_scale)          when plateau_count reaches patience

    It reads `TrainState.evaluation`, which a run writes after each evaluation, so the rate falls inside the compiled run.

    Args:
        inner: the optimizer whose updates are scaled, decoupled decay included.
        factor: in (0, 1).
        patience: evaluations, at least 1.
        rtol, atol: >= 0; the improvement that counts, relative to |best| and in units of the value.
        cooldown: evaluations after a drop during which nothing is counted.
        min_scale: in [0, 1]; the scale never falls below it.

    Memory: 0 + inner.   Raises: ValueError outside these ranges, or if update is called without `evaluation=`.
    Differs from: Optax's contrib.reduce_on_plateau, which takes every step's value, never drops on a constant negative
        value (its relative tolerance turns sign) and counts NaN as a plateau; here NaN counts as nothing.
    Reference: torch.optim.lr_scheduler.ReduceLROnPlateau (the usual practice; no paper).
    """
    inner = as_optimizer(inner)

    def init(params):
        number, count = jnp.result_type(float), jnp.zeros((), jnp.int32)
        return PlateauState(
            jnp.ones((), number), jnp.full((), jnp.inf, number), count, count, count, inner.init(params)
        )

    def observe(state, value):
        value = value.astype(state.best.dtype)
        margin = jnp.maximum(rtol * jnp.abs(jnp.where(jnp.isfinite(state.best), state.best, 0)), atol)
        improved = value < state.best - margin
        waiting = state.cooldown_count > 0
        idle = improved | waiting | jnp.isnan(value)
        count = jnp.where(
            idle, jnp.where(jnp.isnan(value) & ~improved, state.plateau_count, 0), state.plateau_count + 1
        )
        drop = count >= patience
        return state._replace(
            rate_scale=jnp.where(drop, jnp.maximum(factor * state.rate_scale, min_scale), state.rate_scale),
            best=jnp.where(improved, value, state.best),
            plateau_count=jnp.where(drop, 0, count),
            cooldown_count=jnp.where(drop, cooldown, jnp.maximum(state.cooldown_count - 1, 0)),
        )

    def update(grads, state, params=None, *, evaluation=None, **extra_args):
        if evaluation is None:
            raise ValueError("reduce_on_plateau: update needs evaluation=(value, count), as a run passes it")
        value, count = evaluation
        observed = tree.select(count > state.seen, observe(state, jnp.asarray(value)), state)
        updates, inner_state = inner.update(grads, state.inner, params, evaluation=evaluation, **extra_args)
        updates = jax.tree.map(lambda u: (u * observed.rate_scale).astype(u.dtype), updates)
        seen = jnp.asarray(count, jnp.int32)
        return updates, tree.cast_like(
            observed._replace(seen=seen, inner=inner_state), state._replace(inner=inner_state)
        )

    return init, update
