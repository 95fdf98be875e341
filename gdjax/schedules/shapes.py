"""Monotone schedules, and schedules through given points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gdjax.calls import schedule
from gdjax.schedules.steps import (
    ANY,
    FALLS,
    NON_NEGATIVE,
    POSITIVE,
    above_one,
    as_float,
    blend,
    check_pieces,
    choose,
    count,
    geometric,
    half_cosine,
    is_past,
    periods_in,
    progress,
    raise_to,
)


@schedule(bounds={"value": ANY})
def constant(value: float):
    """The same value at every step.

        f(s) = value

    Args:
        value: number or scalar array.

    >>> print(gd.constant_schedule(0.1)(50))
    0.1
    """
    return lambda step: as_float(value)


@schedule(
    bounds={
        "init_value": ANY,
        "end_value": ANY,
        "transition_steps": POSITIVE,
        "transition_begin": NON_NEGATIVE,
    }
)
def linear(init_value: float, end_value: float, transition_steps: float, transition_begin: float = 0):
    """A straight line between two values, constant before and after.

        f(s) = (1 - x) init_value + x end_value,   x = clip((s - transition_begin) / transition_steps, 0, 1)

    Args:
        init_value, end_value: value up to the beginning and from the end on.
        transition_steps: > 0, steps between them.
        transition_begin: >= 0, the last step at init_value.

    Raises: ValueError outside these ranges.
    Differs from: optax.linear_schedule, where a length of 0 or less means init_value for ever.

    >>> print(gd.schedules.linear(1.0, 0.0, 100)(25))
    0.75
    """

    def value(step):
        return blend(init_value, end_value, 1 - progress(as_float(step) - transition_begin, transition_steps))

    return value


@schedule(
    bounds={
        "init_value": ANY,
        "end_value": ANY,
        "power": POSITIVE,
        "transition_steps": POSITIVE,
        "transition_begin": NON_NEGATIVE,
    }
)
def polynomial(init_value: float, end_value: float, power: float, transition_steps: float, transition_begin: float = 0):
    """The difference to the end value falls like a power of the time that is left.

        f(s) = end_value + (init_value - end_value) (1 - x)^power,   x as in `linear`

    Args:
        init_value, end_value: value up to the beginning and from the end on.
        power: > 0; 1 is linear, larger falls sooner.
        transition_steps: > 0, steps between them.
        transition_begin: >= 0, the last step at init_value.

    Raises: ValueError outside these ranges.
    Differs from: optax.polynomial_schedule as `linear` does; and that one, compiled, is NaN after the end for
        half of all lengths if power is no integer: it takes the root of a rounded 0.

    >>> print(gd.schedules.polynomial(1.0, 0.0, 2, 100)(50))
    0.25
    """

    def value(step):
        left = 1 - progress(as_float(step) - transition_begin, transition_steps)
        return blend(init_value, end_value, raise_to(left, power))

    return value


@schedule(bounds={"boundaries": f"{NON_NEGATIVE}, ...", "values": f"{ANY}, ..."})
def piecewise_constant(boundaries: Sequence[float], values: Sequence[float]):
    """A value that jumps at boundaries.

        f(s) = values[i]   for   boundaries[i-1] <= s < boundaries[i]

    Args:
        boundaries: n increasing steps >= 0; a boundary is the first step of its new value.
        values: n + 1 values.

    Raises: ValueError on other lengths or an order that does not increase.
    Differs from: optax.piecewise_constant_schedule, whose boundaries carry factors on the value before.

    >>> print(gd.schedules.piecewise_constant([10, 20], [1.0, 0.1, 0.01])(10))
    0.1
    """
    check_pieces("piecewise_constant", boundaries, values, "values")

    def value(step):
        return as_float(values)[jnp.sum(is_past(as_float(step), as_float(boundaries)))]

    return value


@schedule(static=("interpolation",), bounds={"boundaries": f"{POSITIVE}, ...", "values": f"{ANY}, ..."})
def piecewise_interpolate(boundaries: Sequence[float], values: Sequence[float], interpolation: str = "linear"):
    """A curve through given values at given steps, constant after the last.

        f(0) = values[0],   f(boundaries[i]) = values[i+1],   between them a line or half a cosine wave

    Args:
        boundaries: n increasing steps > 0.
        values: n + 1 values; the first is that of step 0.
        interpolation: "linear" or "cosine" (flat at every boundary).

    Raises: ValueError on other lengths, an order that does not increase, or another interpolation.
    Differs from: optax.piecewise_interpolate_schedule, whose boundaries carry factors on the value before.

    >>> print(gd.schedules.piecewise_interpolate([10, 20], [0.0, 1.0, 0.5])(15))
    0.75
    """
    fall = choose("piecewise_interpolate", "interpolation", interpolation, FALLS)
    check_pieces("piecewise_interpolate", boundaries, values, "values")

    return lambda step: curve(as_float(step), as_float(boundaries), as_float(values), fall)


def curve(step: jax.Array, boundaries: jax.Array, heights: jax.Array, fall: Callable[..., Any]) -> jax.Array:
    """The value of a curve through the first height at step 0 and the others at the boundaries."""
    knots = jnp.concatenate([jnp.zeros(1), boundaries])
    i = jnp.sum(step >= knots[1:-1])
    end = jnp.minimum(i + 1, len(knots) - 1)
    return blend(heights[i], heights[end], fall(progress(step - knots[i], knots[end] - knots[i])))


@schedule(bounds={"init_value": ANY, "factor": "(0, 1]", "every": POSITIVE}, precise=("factor",))
def step_decay(init_value: float, factor: float, every: float):
    """The value times a factor, every so many steps: `exponential` in stairs, in the lectures' words.

        f(s) = init_value factor^floor(s / every)

    Args:
        init_value: value of the first `every` steps.
        factor: in (0, 1].
        every: > 0, steps between two drops.

    Raises: ValueError outside these ranges.

    >>> print(gd.schedules.step_decay(1.0, 0.5, 30)(60))
    0.25
    """
    return lambda step: geometric(init_value, factor, count(as_float(step), every))


@schedule(
    static=("staircase",),
    bounds={
        "init_value": ANY,
        "transition_steps": POSITIVE,
        "decay_rate": POSITIVE,
        "end_value": ANY,
        "transition_begin": NON_NEGATIVE,
    },
    precise=("decay_rate",),
)
def exponential(
    init_value: float,
    transition_steps: float,
    decay_rate: float,
    *,
    staircase: bool = False,
    end_value: float | None = None,
    transition_begin: float = 0,
):
    """Geometric decay (or growth), smooth or in stairs, up to a bound.

        f(s) = init_value decay_rate^p,   p = max(s - transition_begin, 0) / transition_steps

    Args:
        init_value: value up to the beginning.
        transition_steps: > 0, steps in which the value is multiplied by decay_rate once.
        decay_rate: > 0; below 1 the value falls.
        staircase: p is rounded down.
        end_value: bound that f does not cross, from below if decay_rate >= 1, else from above; or None.
        transition_begin: >= 0, the last step at init_value.

    A decay_rate given as a Python number is read to 14 digits, also in a compiled run; one that is an array or traced has
    the digits of its dtype, and n periods multiply its rounding by n (in float32, 0.999999 for 4.6 million steps: 6 %).

    Raises: ValueError outside these ranges.
    Differs from: optax.exponential_decay, whose options are positional (in another order) and to which a
        decay_rate of 0 means a constant.

    >>> print(gd.schedules.exponential(1.0, 10, 0.5)(20))
    0.25
    """

    def value(step):
        elapsed = jnp.maximum(as_float(step) - transition_begin, 0)
        return decay_value(init_value, decay_rate, periods_in(elapsed, transition_steps, staircase), end_value)

    return value


def decay_value(init_value: Any, decay_rate: Any, periods: jax.Array, end_value: Any) -> jax.Array:
    """init_value decay_rate^periods, clipped at the end value if there is one."""
    free = geometric(init_value, decay_rate, periods)
    if end_value is None:
        return free
    crossed = jnp.where(above_one(decay_rate) < 0, free < end_value, free > end_value)
    return jnp.where(crossed, end_value, geometric(init_value, decay_rate, jnp.where(crossed, 0, periods)))


@schedule(
    static=("staircase",),
    bounds={"init_value": ANY, "transition_steps": POSITIVE, "decay_rate": NON_NEGATIVE},
)
def inverse_time(init_value: float, transition_steps: float, decay_rate: float, *, staircase: bool = False):
    """Decay like one over time, the classic choice for which stochastic descent converges.

        f(s) = init_value / (1 + decay_rate p),   p = s / transition_steps

    Args:
        init_value: value at step 0.
        transition_steps: > 0, the unit of time.
        decay_rate: >= 0; the value is halved when p = 1 / decay_rate.
        staircase: p is rounded down.

    Raises: ValueError outside these ranges.
    Reference: Robbins & Monro 1951, "A stochastic approximation method", doi:10.1214/aoms/1177729586.

    >>> print(gd.schedules.inverse_time(0.1, 10, 1.0)(30))
    0.025
    """
    return lambda step: init_value / (1 + decay_rate * periods_in(as_float(step), transition_steps, staircase))


@schedule(bounds={"peak_value": ANY, "warmup_steps": POSITIVE, "init_value": ANY})
def inverse_sqrt(peak_value: float, warmup_steps: float, init_value: float = 0.0):
    """A ramp to the peak, then decay like one over the square root of time counted from step 0.

        f(s) = peak_value sqrt(W / max(s, W)),   before W = warmup_steps a line from init_value to peak_value

    Args:
        peak_value: value at step W.
        warmup_steps: > 0.
        init_value: value at step 0. At 0 this is Noam's form, at peak_value it is T5's (constant up to W).

    Raises: ValueError outside these ranges.
    Differs from: Vaswani et al., who count from t = s + 1: with peak_value = (d_model W)^-0.5, theirs is
        f(s + 1).
    Reference: Vaswani et al. 2017, equation 3, arXiv:1706.03762; Raffel et al. 2020, section 3.1.2,
        arXiv:1910.10683.

    >>> print(gd.schedules.inverse_sqrt(0.1, 100)(400))
    0.05
    """

    def value(step):
        step = as_float(step)
        decay = jnp.sqrt(warmup_steps / jnp.maximum(step, warmup_steps))
        return blend(init_value, peak_value, 1 - progress(step, warmup_steps)) * decay

    return value


@schedule(bounds={"init_value": ANY, "decay_steps": POSITIVE, "alpha": ANY, "exponent": POSITIVE})
def cosine(init_value: float, decay_steps: float, alpha: float = 0.0, exponent: float = 1.0):
    """Half a cosine wave down to a floor.

        f(s) = init_value (alpha + (1 - alpha) ((1 + cos(pi x)) / 2)^exponent),   x = min(s / decay_steps, 1)

    Args:
        init_value: value at step 0.
        decay_steps: > 0, steps down to the floor.
        alpha: the floor, as a fraction of init_value.
        exponent: > 0; above 1 falls sooner.

    Raises: ValueError outside these ranges.
    Reference: Loshchilov & Hutter 2017, arXiv:1608.03983.

    >>> print(gd.schedules.cosine(0.1, 100)(50))
    0.05
    """

    def value(step):
        wave = half_cosine(progress(as_float(step), decay_steps))
        return init_value * blend(1, alpha, raise_to(wave, exponent))

    return value
