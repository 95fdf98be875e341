"""Spikes: a step forward, a surrogate of its slope backward.

A spike is 0 or 1, so its derivative is 0 wherever there is one, and no gradient would pass. Backward, the step is replaced
by a smooth one that rises from 0 to 1 around the threshold. With k the slope at the threshold, the derivatives are

    fast_sigmoid    k / (1 + 2 k |v|)²
    arctan          k / (1 + (pi k v)²)
    triangular      k max(0, 1 - k |v|)

Each has height k and area 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from gdjax.text import did_you_mean

Surrogate: TypeAlias = Callable[[jax.Array, Any], jax.Array]  # (v, slope) -> the derivative


def fast_sigmoid(v: jax.Array, slope: Any) -> jax.Array:
    """The derivative of (1 + u / (1 + |u|)) / 2, u = 2 slope v. Reference: Zenke & Ganguli 2018, arXiv:1705.11146."""
    return slope / (1 + 2 * slope * jnp.abs(v)) ** 2


def arctan(v: jax.Array, slope: Any) -> jax.Array:
    """The derivative of 1/2 + arctan(pi slope v) / pi. Reference: Fang et al. 2021, arXiv:2007.05785."""
    return slope / (1 + (math.pi * slope * v) ** 2)


def triangular(v: jax.Array, slope: Any) -> jax.Array:
    """A triangle of width 2 / slope, 0 outside. Reference: Bellec et al. 2018, arXiv:1803.09574."""
    return slope * jnp.maximum(0, 1 - slope * jnp.abs(v))


SURROGATES: dict[str, Surrogate] = {
    "fast_sigmoid": fast_sigmoid,
    "arctan": arctan,
    "triangular": triangular,
}


def spike(v: jax.Array, surrogate: str | Surrogate = "fast_sigmoid", slope: Any = 1.0) -> jax.Array:
    """1 where v >= 0, else 0; its derivative is that of a smooth step.

    Args:
        v: (...), the potential above the threshold.
        surrogate: the derivative, a name in `SURROGATES` or a function (v, slope) -> derivative.
        slope: > 0, per unit of v; the derivative at v = 0. By it itself the derivative is 0.

    Raises: ValueError if there is no such name.
    Reference: Neftci, Mostafa & Zenke 2019, arXiv:1901.09948.

    >>> v = jnp.array([-0.5, 0.0, 0.5])
    >>> print(gd.models.spike(v), jax.vmap(jax.grad(gd.models.spike))(v))
    [0. 1. 1.] [0.25 1. 0.25]
    """
    v = jnp.asarray(v)
    return _fire(surrogate_function("spike", surrogate), v, jnp.asarray(slope, v.dtype))


def surrogate_function(who: str, surrogate: str | Surrogate) -> Surrogate:
    """The surrogate of that name; a function is its own."""
    if callable(surrogate):
        return surrogate
    if surrogate in SURROGATES:
        return SURROGATES[surrogate]
    raise ValueError(f"{who}: no surrogate {surrogate!r}: {did_you_mean(str(surrogate), SURROGATES)}")


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _fire(surrogate: Surrogate, v: jax.Array, slope: jax.Array) -> jax.Array:
    return (v >= 0).astype(v.dtype)


@_fire.defjvp
def _fire_jvp(surrogate: Surrogate, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    return _fire(surrogate, *primals), surrogate(*primals) * tangents[0]
