"""Schedules by the names of Optax: the same arguments in the same order, the same values, and every number a leaf.

`constant_schedule` and `cosine_decay_schedule` are `constant` and `cosine`, whose arguments are Optax's already.

Differs from: Optax, in which 14 of these arguments cannot be traced, a negative length means a constant, and the compiled
`polynomial_schedule` of a fractional power is NaN after the end of half of all lengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import is_concrete, schedule
from gdjax.schedules.shapes import constant, cosine, curve, decay_value
from gdjax.schedules.steps import (
    ANY,
    FALLS,
    NON_NEGATIVE,
    above_one,
    as_float,
    blend,
    check_pieces,
    choose,
    is_past,
    periods_in,
    progress,
    raise_to,
)

constant_schedule = constant
cosine_decay_schedule = cosine


def _pairs(scales: Any) -> tuple[Any, ...]:
    """The pairs (boundary, factor) of a dict in order, so that boundaries are leaves too; pairs are returned as they are."""
    return tuple(sorted(scales.items())) if isinstance(scales, Mapping) else tuple(scales or ())


Scales = Mapping[float, float] | Sequence[tuple[float, float]]


def _boundaries_and_values(who: str, init_value: Any, scales: Any) -> tuple[list[Any], list[Any]]:
    """The boundaries, and the values before, between and after them."""
    pairs = _pairs(scales)
    boundaries, values = [boundary for boundary, _ in pairs], [init_value]
    for _, factor in pairs:
        values.append(values[-1] * factor)
    check_pieces(who, boundaries, values, "values", strictly=False)
    return boundaries, values


@schedule(
    bounds={
        "init_value": ANY,
        "end_value": ANY,
        "transition_steps": NON_NEGATIVE,
        "transition_begin": NON_NEGATIVE,
    }
)
def linear_schedule(init_value: float, end_value: float, transition_steps: float, transition_begin: float = 0):
    """A straight line between two values, constant before and after: `linear`, but a length of 0 is none.

        f(s) = (1 - x) init_value + x end_value,   x = clip((s - transition_begin) / transition_steps, 0, 1)

    Args:
        init_value, end_value: value up to the beginning and from the end on.
        transition_steps: >= 0, steps between them; at 0 the value is init_value for ever, as in Optax.
        transition_begin: >= 0, the last step at init_value.

    Raises: ValueError outside these ranges.

    >>> print(gd.linear_schedule(1.0, 0.0, 100)(25))
    0.75
    """
    return lambda step: blend(init_value, end_value, remaining(step, transition_steps, transition_begin))


@schedule(
    bounds={
        "init_value": ANY,
        "end_value": ANY,
        "power": NON_NEGATIVE,
        "transition_steps": NON_NEGATIVE,
        "transition_begin": NON_NEGATIVE,
    }
)
def polynomial_schedule(
    init_value: float, end_value: float, power: float, transition_steps: float, transition_begin: float = 0
):
    """The difference to the end value falls like a power of the time that is left: `polynomial`, but a length of 0 is none.

        f(s) = end_value + (init_value - end_value) (1 - x)^power,   x as in `linear_schedule`

    Args:
        init_value, end_value: value up to the beginning and from the end on.
        power: >= 0; 1 is linear, larger falls sooner, 0 stays at init_value.
        transition_steps: >= 0, steps between them; at 0 the value is init_value for ever, as in Optax.
        transition_begin: >= 0, the last step at init_value.

    Raises: ValueError outside these ranges.

    >>> print(gd.polynomial_schedule(1.0, 0.0, 2, 100)(50))
    0.25
    """

    def value(step):
        left = raise_to(remaining(step, transition_steps, transition_begin), power)
        return blend(init_value, end_value, jnp.where(as_float(power) == 0, 1, left))

    return value


def remaining(step: Any, steps: Any, begin: Any) -> jax.Array:
    """The remaining share of a length; 1 for a length of 0."""
    return jnp.where(as_float(steps) > 0, 1 - progress(as_float(step) - begin, steps), 1)


@schedule(
    bounds={"init_value": ANY, "boundaries_and_scales": f"{NON_NEGATIVE}, ..."}, reads={"boundaries_and_scales": _pairs}
)
def piecewise_constant_schedule(init_value: float, boundaries_and_scales: Scales | None = None):
    """A value that is multiplied by a factor at each boundary.

        f(s) = init_value times the factors of all boundaries <= s

    Args:
        init_value: value before the first boundary.
        boundaries_and_scales: {boundary: factor}, both >= 0; a boundary is the first step of its new value.

    Raises: ValueError outside these ranges.
    See also: `piecewise_constant`, which takes the values themselves.

    >>> print(gd.piecewise_constant_schedule(1.0, {10: 0.1, 20: 0.5})(20))
    0.05
    """
    boundaries, values = _boundaries_and_values("piecewise_constant_schedule", init_value, boundaries_and_scales)
    return lambda step: as_float(values)[jnp.sum(is_past(as_float(step), as_float(boundaries)))]


@schedule(
    static=("interpolate_type",),
    bounds={"init_value": ANY, "boundaries_and_scales": f"{NON_NEGATIVE}, ..."},
    reads={"boundaries_and_scales": _pairs},
)
def piecewise_interpolate_schedule(
    interpolate_type: str, init_value: float, boundaries_and_scales: Scales | None = None
):
    """A curve through init_value at step 0 and, at each boundary, the value before it times a factor; constant after.

    Args:
        interpolate_type: "linear" or "cosine" (flat at every boundary).
        init_value: value at step 0.
        boundaries_and_scales: {boundary: factor}, both >= 0.

    Raises: ValueError outside these ranges, or for another interpolation.
    See also: `piecewise_interpolate`, which takes the values themselves.

    >>> print(gd.piecewise_interpolate_schedule("linear", 1.0, {10: 0.5})(5))
    0.75
    """
    fall = choose("piecewise_interpolate_schedule", "interpolate_type", interpolate_type, FALLS)
    boundaries, values = _boundaries_and_values("piecewise_interpolate_schedule", init_value, boundaries_and_scales)
    return lambda step: curve(as_float(step), as_float(boundaries), as_float(values), fall)


@schedule(
    static=("staircase",),
    bounds={
        "init_value": ANY,
        "transition_steps": NON_NEGATIVE,
        "decay_rate": NON_NEGATIVE,
        "transition_begin": NON_NEGATIVE,
        "end_value": ANY,
    },
    precise=("decay_rate",),
)
def exponential_decay(
    init_value: float,
    transition_steps: float,
    decay_rate: float,
    transition_begin: float = 0,
    staircase: bool = False,
    end_value: float | None = None,
):
    """Geometric decay (or growth), smooth or in stairs, up to a bound: `exponential` with Optax's order of arguments.

        f(s) = init_value decay_rate^p,   p = max(s - transition_begin, 0) / transition_steps

    Args:
        init_value: value up to the beginning.
        transition_steps: >= 0, steps in which the value is multiplied by decay_rate once; at 0 it is constant, as in Optax.
        decay_rate: >= 0; below 1 the value falls; at 0 it is constant, as in Optax.
        transition_begin: >= 0, the last step at init_value.
        staircase: p is rounded down.
        end_value: bound that f does not cross, from below if decay_rate >= 1, else from above; or None.

    Raises: ValueError outside these ranges.

    >>> print(gd.exponential_decay(1.0, 10, 0.5)(20))
    0.25
    """
    return lambda step: decay_after(
        as_float(step) - transition_begin, init_value, transition_steps, decay_rate, staircase, end_value
    )


def decay_after(
    step: jax.Array, init_value: Any, transition_steps: Any, decay_rate: Any, staircase: bool, end_value: Any
) -> jax.Array:
    if is_concrete(decay_rate) and not np.any(np.asarray(decay_rate)):
        return as_float(init_value)
    moves = (as_float(transition_steps) > 0) & (as_float(above_one(decay_rate, 0)) > 0)
    periods = periods_in(jnp.maximum(step, 0), jnp.where(moves, transition_steps, 1), staircase)
    return jnp.where(moves, decay_value(init_value, decay_rate, jnp.where(moves, periods, 0), end_value), init_value)
