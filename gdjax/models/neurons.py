"""Leaky integrate-and-fire neurons, in discrete time."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax.calls import model
from gdjax.models.initializers import Init
from gdjax.models.spikes import Surrogate, spike, surrogate_function

RESETS = ("soft", "hard")


@model(
    static=("reset", "surrogate"),
    bounds={"time_constant": "(0, inf]", "threshold": "(0, inf)", "slope": "(0, inf)"},
)
def lif(
    time_constant=10.0,
    threshold=1.0,
    reset: str = "soft",
    surrogate: str | Surrogate = "fast_sigmoid",
    slope=1.0,
):
    """Leaky integrate-and-fire neurons: each sums its input current, forgets it slowly, and fires above a threshold.

        u_t = decay v_{t-1} + x_t,   decay = exp(-1 / time_constant),   v_0 = 0
        y_t = 1 if u_t >= threshold, else 0
        v_t = u_t - threshold y_t          soft: what is above the threshold is kept
        v_t = u_t (1 - y_t)                hard: a spike forgets all

        x (..., time, n) -> y (..., time, n), spikes;   params ()

    A constant current fires if x > (1 - decay) threshold, with hard resets every ceil(log(1 - (1 - decay) threshold / x) /
    log(decay)) steps. With soft resets and an infinite time constant, floor(T x / threshold) spikes are fired in T steps,
    for 0 <= x <= threshold.

    Backward, the slope of a spike is a surrogate (see `spike`), and the resets are taken as given.

    Args:
        time_constant: > 0, steps; infinite for neurons that forget nothing.
        threshold: > 0, in units of the current.
        reset: "soft" or "hard".
        surrogate: a name in `SURROGATES`, or a function (u - threshold, slope) -> derivative.
        slope: > 0, the derivative at the threshold, per unit of the current.

    Raises: ValueError outside these ranges, if there is no such reset or surrogate, or x has no axis for time.
    Reference: Gerstner & Kistler 2002, "Spiking neuron models", section 4.1.

    >>> print(gd.models.lif(2.0).apply((), jnp.full((8, 1), 0.5))[:, 0])
    [0. 0. 0. 1. 0. 0. 1. 0.]
    """
    check_reset("lif", reset)
    surrogate = surrogate_function("lif", surrogate)

    def apply(params, x, key=None):
        x = jnp.asarray(x)
        if x.ndim < 2:
            raise ValueError(f"lif: x must be currents over time, (..., time, n), got shape {x.shape}")
        currents = jnp.moveaxis(x, -2, 0)
        return jnp.moveaxis(fire(currents, time_constant, threshold, reset, surrogate, slope), 0, -2)

    return Init(()), apply


def fire(
    currents: jax.Array, time_constant: Any, threshold: Any, reset: str, surrogate: Surrogate, slope: Any
) -> jax.Array:
    """The spikes (time, ...) of neurons with input currents (time, ...); see `lif`."""
    currents = currents.astype(jnp.result_type(currents, 0.0))
    decay, threshold = (jnp.asarray(x, currents.dtype) for x in (decay_of(time_constant), threshold))

    def step(v, current):
        u = decay * v + current
        fired = spike(u - threshold, surrogate, slope)
        past = jax.lax.stop_gradient(fired)
        return u - threshold * past if reset == "soft" else u * (1 - past), fired

    return jax.lax.scan(step, jnp.zeros_like(currents[0]), currents)[1]


def mean_potential(currents: jax.Array, time_constant: Any) -> jax.Array:
    """The mean over time of the potentials of neurons that never fire: (time, ...) -> (...).

    v_t = sum_{s <= t} decay^{t-s} x_s, so that x_s counts with decay^0 + ... + decay^{T-s}.
    """
    time_steps = len(currents)
    powers = decay_of(time_constant) ** jnp.arange(time_steps)
    weights = jnp.cumsum(powers)[::-1] / time_steps
    return jnp.tensordot(weights.astype(currents.dtype), currents, axes=1)


def decay_of(time_constant: Any) -> jax.Array:
    """The share of a potential that is left after a step."""
    return jnp.exp(-1 / jnp.asarray(time_constant, float))


def check_reset(who: str, reset: str) -> None:
    if reset not in RESETS:
        raise ValueError(f"{who}: reset must be one of {', '.join(RESETS)}, got {reset!r}")
