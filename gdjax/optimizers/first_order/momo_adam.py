"""Momo with Adam's preconditioner."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.first_order.momo import Model, _capped, _check, _dot
from gdjax.optimizers.first_order.polyak_sgd import _at, _scaled, _value, _wide
from gdjax.optimizers.leafwise import _refuse_integers
from gdjax.tree import abs_sq

_MOMO = {"learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


class MomoAdamState(NamedTuple):
    exp_avg: Any
    exp_avg_sq: Any
    barf: jax.Array
    gamma: jax.Array
    lb: jax.Array
    count: jax.Array


@optimizer(static=("adapt_lower_bound",), bounds={**_MOMO, "b1": "[0, 1)", "b2": "[0, 1)", "eps": "[0, inf)"})
def momo_adam(
    learning_rate=1e-2, b1=0.9, b2=0.999, eps=1e-8, lower_bound=0.0, weight_decay=0.0, adapt_lower_bound=False
):
    """MoMo-Adam: Adam with Polyak's step, for the averaged linear model of the loss in Adam's metric.

        m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g²,   D = eps + sqrt(v_hat),   barf, gamma as `momo`, with b1
        tau = min(learning_rate/c, max(0, q (barf - gamma - c lower_bound) + <m, p>) / <m, m/D>),   c = 1 - b1^t
        u = -tau m/D - learning_rate weight_decay/q p,                          q = 1 + learning_rate weight_decay

    Args: as `momo`, and
        b1: in [0, 1), of the first moment, the value and <g, p>.
        b2: in [0, 1), of the second moment.
        eps: >= 0, gradient units.

    Memory: 2 x params.   Raises: ValueError outside these ranges, or if update is called without `value=`.
    Differs from: Optax at complex parameters, where it averages g² instead of |g|².
    Reference: Schaipp et al. 2024, Algorithm 2, arXiv:2305.07583.
    """

    def init(params):
        _refuse_integers("momo_adam", params)
        zero = jnp.zeros((), jnp.result_type(float))
        m = jax.tree.map(jnp.zeros_like, params)
        v = jax.tree.map(lambda p: jnp.zeros_like(p.real), params)
        return MomoAdamState(m, v, zero, zero, zero + lower_bound, jnp.zeros((), jnp.int32))

    def update(grads, state, params=None, *, value=None, **extra_args):
        _check("momo_adam", grads, params)
        t = tree.increment(state.count)
        barf = b1 * state.barf + (1 - b1) * _value("momo_adam", value)
        m = jax.tree.map(lambda m, g: b1 * _wide(m) + (1 - b1) * _wide(g), state.exp_avg, grads)
        v = jax.tree.map(lambda v, g: b2 * _wide(v) + (1 - b2) * abs_sq(_wide(g)), state.exp_avg_sq, grads)
        s, _, short = _scaled(m)
        scaled = jax.tree.map(lambda m, v: m / (eps + jnp.sqrt(v / (1 - b2**t))), short, v)
        gamma = b1 * state.gamma + (1 - b1) * _dot(grads, params)
        rate = _at(learning_rate, state.count)
        model = Model(barf, gamma, _dot(short, scaled), _dot(m, params), rate, weight_decay, s)
        tau, lb = model.step(state.lb, lower_bound, 1 - b1**t, adapt_lower_bound)
        updates = jax.tree.map(lambda d, p: (model.shrink() * _wide(p) - tau * d).astype(p.dtype), scaled, params)
        new = MomoAdamState(m, v, barf, gamma, lb, t)
        return updates, tree.cast_like(new, state)

    return _capped(init, update, learning_rate)
