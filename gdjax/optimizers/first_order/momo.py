"""Polyak's rule with momentum: a step to where the average model of the loss is at its lower bound."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import Rated, optimizer, rate_of
from gdjax.optimizers.first_order.polyak_sgd import _TINY, _at, _scaled, _value, _wide
from gdjax.optimizers.leafwise import _refuse_integers


def _capped(init: Any, update: Any, learning_rate: Any) -> Rated:
    """(init, update) whose rate is only the longest step."""
    return Rated(init, update, lambda state, _: rate_of(learning_rate, state), exact=False)


def _check(who: str, grads: Any, params: Any) -> None:
    if params is None:
        raise ValueError(f"{who}: update needs params, got None")
    tree.check_like(who, "grads", grads, "params", params)


def _dot(a: Any, b: Any) -> jax.Array:
    """The real inner product of two trees, in at least float32."""
    return sum(
        tree.leafmap(lambda x, y: jnp.sum((jnp.conj(_wide(x)) * _wide(y)).real), a, b),
        start=jnp.zeros((), jnp.result_type(float)),
    )


class MomoState(NamedTuple):
    exp_avg: Any
    barf: jax.Array  # () float, averaged value
    gamma: jax.Array  # () float, averaged <g, p>
    lb: jax.Array  # () float, lower bound of the value
    count: jax.Array


_MOMO = {"learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


@optimizer(static=("adapt_lower_bound",), bounds={**_MOMO, "beta": "[0, 1)"})
def momo(learning_rate=1.0, beta=0.9, lower_bound=0.0, weight_decay=0.0, adapt_lower_bound=False):
    """MoMo: momentum descent with Polyak's step, for the averaged linear model of the loss.

        m <- beta m + (1 - beta) g,   barf <- ... value,   gamma <- ... <g, p>              the first step has beta = 0
        tau = min(learning_rate, max(0, q (barf - gamma - lower_bound) + <m, p>) / |m|²)
        q = 1 + learning_rate weight_decay,     u = -tau m - learning_rate weight_decay/q p

    Args:
        learning_rate: the longest step; number, array or schedule.
        beta: in [0, 1); memory of about 1/(1 - beta) steps.
        lower_bound: of the loss.
        weight_decay: >= 0.
        adapt_lower_bound: also estimate the bound from below, from what has been seen.

    Memory: 1 x params.   Raises: ValueError outside these ranges, or if update is called without `value=`.
    Differs from: Optax at complex parameters, where its step turns complex as soon as weight decay moves them too.
    Reference: Schaipp et al. 2024, Algorithms 1 and 3, arXiv:2305.07583.
    """

    def init(params):
        _refuse_integers("momo", params)
        zero = jnp.zeros((), jnp.result_type(float))
        m, count = jax.tree.map(jnp.zeros_like, params), jnp.zeros((), jnp.int32)
        return MomoState(m, zero, zero, zero + lower_bound, count)

    def update(grads, state, params=None, *, value=None, **extra_args):
        _check("momo", grads, params)
        keep = jnp.where(state.count == 0, 0.0, beta)
        barf = keep * state.barf + (1 - keep) * _value("momo", value)
        m = jax.tree.map(lambda m, g: keep * _wide(m) + (1 - keep) * _wide(g), state.exp_avg, grads)
        gamma = keep * state.gamma + (1 - keep) * _dot(grads, params)
        s, squared, scaled = _scaled(m)
        model = Model(barf, gamma, squared, _dot(m, params), _at(learning_rate, state.count), weight_decay, s)
        tau, lb = model.step(state.lb, lower_bound, 1.0, adapt_lower_bound)
        updates = jax.tree.map(lambda m, p: (model.shrink() * _wide(p) - tau * m).astype(p.dtype), scaled, params)
        new = MomoState(m, barf, gamma, lb, tree.increment(state.count))
        return updates, tree.cast_like(new, state)

    return _capped(init, update, learning_rate)


class Model(NamedTuple):
    """What the averages say of the loss along -m: a line through barf - gamma + <m, p> with slope -|m|²."""

    barf: jax.Array
    gamma: jax.Array
    squared: jax.Array  # |scale m|², in the metric of the method
    product: jax.Array  # <m, p>
    rate: Any
    weight_decay: Any
    scale: jax.Array

    def shrink(self) -> Any:
        return -(self.rate * self.weight_decay) / (1 + self.rate * self.weight_decay)

    def step(self, lb: Any, least: Any, correction: Any, adapt: bool) -> tuple[jax.Array, jax.Array]:
        """(tau / scale, the next lower bound)."""
        q = 1 + self.rate * self.weight_decay
        if adapt:
            cap = q * (self.barf - self.gamma) + self.product
            lb = jnp.where(cap < q * correction * lb, jnp.maximum(cap / (2 * correction * q), least), lb)
        reach = jnp.maximum(q * (self.barf - correction * lb - self.gamma) + self.product, 0)
        tau = jnp.minimum(self.rate / correction / self.scale, tree.ratio(reach, self.squared) * self.scale)
        tau = jnp.where(self.squared > _TINY * self.scale * self.scale, tau, 0)
        if adapt:
            slope = 0.5 * tree.ratio(tau * self.squared, self.scale)
            seen = (self.barf + self.product - self.gamma - slope) / correction
            lb = jnp.maximum(seen, least)
        return tau, lb
