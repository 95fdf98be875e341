"""Codes: numbers as spikes in time.

    code        a number x as                                           with a key
    current     the same input x at every step                          likewise
    rate        spikes of probability x at every step                   random; without, their mean x at every step
    latency     one spike, the earlier the larger x                     likewise

The functions of `CODES` put the time first and give one step where all steps are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from gdjax.calls import model
from gdjax.models.initializers import Init
from gdjax.models.layers import check_size

Code: TypeAlias = Callable[
    [jax.Array, int, jax.Array | None], jax.Array
]  # (x, time_steps, key) -> (time or 1, *x.shape)


def constant_current(x: jax.Array, time_steps: int, key: jax.Array | None = None) -> jax.Array:
    return x[None]


def spikes_by_chance(x: jax.Array, time_steps: int, key: jax.Array | None = None) -> jax.Array:
    probability = jnp.clip(x, 0, 1)
    if key is None:
        return probability[None]
    probability = probability.astype(jnp.promote_types(x.dtype, jnp.float32))  # chance in 16 bits is coarse
    return jax.random.bernoulli(key, probability, (time_steps, *x.shape)).astype(x.dtype)


def first_spikes(x: jax.Array, time_steps: int, key: jax.Array | None = None) -> jax.Array:
    fine = x.astype(jnp.promote_types(x.dtype, jnp.float32))  # 16 bits do not tell so many steps apart
    when = jnp.round((1 - jnp.clip(fine, 0, 1)) * (time_steps - 1))
    steps = jnp.arange(time_steps, dtype=fine.dtype).reshape(-1, *[1] * x.ndim)
    return ((steps == when) & (x > 0)).astype(x.dtype)


CODES: dict[str, Code] = {"current": constant_current, "rate": spikes_by_chance, "latency": first_spikes}


@model(static=("time_steps",))
def rate_code(time_steps: int = 25):
    """Spikes at random, the more the larger x.

        y_t ~ Bernoulli(x), for each step t     with a key       x (..., n) -> y (..., time, n), x cut to [0, 1]
        y_t = x                                 without          params ()

    In the limit of many steps of short time this is a Poisson process of rate x.

    Args:
        time_steps: at least 1.

    Raises: ValueError for another number.

    >>> print(gd.models.rate_code(8).apply((), jnp.array([0.0, 0.5, 1.0]), jax.random.key(1)).sum(axis=0))
    [0. 3. 8.]
    """
    return _layer("rate_code", spikes_by_chance, time_steps)


@model(static=("time_steps",))
def latency_code(time_steps: int = 25):
    """One spike, the earlier the larger x.

        y_t = 1 at t = round((1 - x) (time_steps - 1)), else 0      x (..., n) -> y (..., time, n), x cut to [0, 1]

    An x of 0 or less never spikes. The first step has t = 0.   params ()

    Args:
        time_steps: at least 1.

    Raises: ValueError for another number.
    Reference: Thorpe, Delorme & Van Rullen 2001, "Spike-based strategies for rapid processing".

    >>> print(gd.models.latency_code(4).apply((), jnp.array([0.0, 0.4, 1.0])).T)
    [[0. 0. 0. 0.]
     [0. 0. 1. 0.]
     [1. 0. 0. 0.]]
    """
    return _layer("latency_code", first_spikes, time_steps)


def _layer(who: str, code: Code, time_steps: int):
    check_size(who, "time_steps", time_steps)

    def apply(params, x, key=None):
        x = as_floats(x)
        coded = code(x, time_steps, key)
        return jnp.moveaxis(jnp.broadcast_to(coded, (time_steps, *x.shape)), 0, -2)

    return Init(()), apply


def as_floats(x: jax.Array) -> jax.Array:
    x = jnp.asarray(x)
    return x.astype(jnp.result_type(x, 0.0))
