"""Schedules of several phases by the names of Optax: warm-ups, one-cycles, and schedules one after another."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import Schedule, is_concrete, schedule
from gdjax.schedules.combine import in_turn
from gdjax.schedules.optax_names import decay_after, exponential_decay, remaining
from gdjax.schedules.shapes import curve
from gdjax.schedules.steps import (
    ANY,
    FALLS,
    NON_NEGATIVE,
    POSITIVE,
    as_float,
    as_function,
    blend,
    check_pieces,
    half_cosine,
    progress,
    raise_to,
    step_for_edges,
)


@schedule(bounds={"init_value": ANY, "peak_value": ANY, "warmup_steps": NON_NEGATIVE})
def warmup_constant_schedule(init_value: float, peak_value: float, warmup_steps: float):
    """A straight line to the peak, constant after.

    Args:
        init_value: value at step 0.
        peak_value: value from the end of the ramp on.
        warmup_steps: >= 0, length of the ramp; at 0 the value is init_value for ever, as in Optax.

    Raises: ValueError outside these ranges.

    >>> print(gd.warmup_constant_schedule(0.0, 1.0, 10)(5))
    0.5
    """
    return lambda step: blend(init_value, peak_value, remaining(step, warmup_steps, 0))


@schedule(
    bounds={
        "init_value": ANY,
        "peak_value": ANY,
        "warmup_steps": NON_NEGATIVE,
        "decay_steps": POSITIVE,
        "end_value": ANY,
        "exponent": POSITIVE,
    }
)
def warmup_cosine_decay_schedule(
    init_value: float,
    peak_value: float,
    warmup_steps: float,
    decay_steps: float,
    end_value: float = 0.0,
    exponent: float = 1.0,
):
    """A straight ramp to the peak, then half a cosine wave down to the end value.

        f(s) = end_value + (peak_value - end_value) ((1 + cos(pi x)) / 2)^exponent,
        x = min((s - warmup_steps) / (decay_steps - warmup_steps), 1),   after the ramp

    Args:
        init_value, peak_value, end_value: value at step 0, after warmup_steps, and from decay_steps on. After a peak of 0
            the value is 0, as in Optax.
        warmup_steps: >= 0, length of the ramp; 0 leaves it out.
        decay_steps: > warmup_steps, length of ramp and fall together.
        exponent: > 0; above 1 falls sooner.

    Raises: ValueError outside these ranges.
    See also: `warmup(cosine(peak, total - W), W)`, the same in two parts.

    >>> print(gd.warmup_cosine_decay_schedule(0.0, 1.0, 10, 110)(60))
    0.5
    """
    if _holds(operator.le, decay_steps, warmup_steps):
        must = "decay_steps must be above warmup_steps, which it includes"
        raise ValueError(f"warmup_cosine_decay_schedule: {must}, got {decay_steps} and {warmup_steps}")

    def value(step):
        step = as_float(step)
        wave = raise_to(half_cosine(progress(step - warmup_steps, decay_steps - warmup_steps)), exponent)
        fallen = blend(peak_value, jnp.where(as_float(peak_value) == 0, 0, end_value), wave)
        ramp = blend(init_value, peak_value, remaining(step, warmup_steps, 0))
        return jnp.where(step < warmup_steps, ramp, fallen)

    return value


@schedule(
    static=("staircase",),
    bounds={
        "init_value": ANY,
        "peak_value": ANY,
        "warmup_steps": NON_NEGATIVE,
        "transition_steps": NON_NEGATIVE,
        "decay_rate": NON_NEGATIVE,
        "transition_begin": NON_NEGATIVE,
        "end_value": ANY,
    },
    precise=("decay_rate",),
    like=exponential_decay,
)
def warmup_exponential_decay_schedule(
    init_value: float,
    peak_value: float,
    warmup_steps: float,
    transition_steps: float,
    decay_rate: float,
    transition_begin: float = 0,
    staircase: bool = False,
    end_value: float | None = None,
):
    """A straight ramp to the peak, then `exponential_decay` from there, its steps counted from the end of the ramp.

    Args:
        init_value: value at step 0.
        peak_value: value at the end of the ramp.
        warmup_steps: >= 0, length of the ramp; 0 leaves it out.
        transition_steps, decay_rate, transition_begin, staircase, end_value: as in `exponential_decay`.

    Raises: ValueError outside these ranges.

    >>> print(gd.warmup_exponential_decay_schedule(0.0, 1.0, 10, 100, 0.5)(210))
    0.25
    """

    def value(step):
        step = as_float(step)
        after = step - warmup_steps - transition_begin
        fallen = decay_after(after, peak_value, transition_steps, decay_rate, staircase, end_value)
        return jnp.where(step < warmup_steps, blend(init_value, peak_value, remaining(step, warmup_steps, 0)), fallen)

    return value


@schedule(
    bounds={
        "transition_steps": POSITIVE,
        "peak_value": ANY,
        "pct_start": "[0, 1]",
        "pct_final": "[0, 1]",
        "div_factor": POSITIVE,
        "final_div_factor": POSITIVE,
    }
)
def linear_onecycle_schedule(
    transition_steps: float,
    peak_value: float,
    pct_start: float = 0.3,
    pct_final: float = 0.85,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
):
    """Three straight lines: up to the peak, back to the initial value, down to the final one.

        f(0) = peak_value / div_factor
        f(pct_start transition_steps) = peak_value
        f(pct_final transition_steps) = peak_value / div_factor
        f(transition_steps) = peak_value / (div_factor final_div_factor),      and so at every later step

    Args:
        transition_steps: > 0, all steps.
        peak_value: the highest value.
        pct_start, pct_final: in [0, 1], in this order: the fraction (not per cent) of the steps at which the first and the
            second line end, rounded down to whole steps.
        div_factor: > 0, the peak over the initial value.
        final_div_factor: > 0, the initial value over the final one.

    Raises: ValueError outside these ranges.
    Reference: Smith & Topin 2017, arXiv:1708.07120.

    >>> print(gd.linear_onecycle_schedule(100, 1.0)(85))
    0.04
    """
    if _holds(operator.gt, pct_start, pct_final):
        must = "pct_final must be at least pct_start"
        raise ValueError(f"linear_onecycle_schedule: {must}, got {pct_final} and {pct_start}")

    def value(step):
        ends = [_floor_steps(share, transition_steps) for share in (pct_start, pct_final)]
        low = peak_value / div_factor
        heights = [low, peak_value, low, low / final_div_factor]
        return curve(as_float(step), as_float([*ends, transition_steps]), as_float(heights), FALLS["linear"])

    return value


@schedule(
    bounds={
        "transition_steps": POSITIVE,
        "peak_value": ANY,
        "pct_start": "[0, 1]",
        "div_factor": POSITIVE,
        "final_div_factor": POSITIVE,
    }
)
def cosine_onecycle_schedule(
    transition_steps: float,
    peak_value: float,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
):
    """`one_cycle` with Optax's arguments: half a cosine wave up to the peak, half a wave down to almost nothing.

    Args:
        transition_steps: > 0, all steps.
        peak_value: the highest value.
        pct_start: in [0, 1], the fraction of the steps that rise, rounded down to whole steps.
        div_factor: > 0, the peak over the initial value.
        final_div_factor: > 0, the initial value over the final one.

    Raises: ValueError outside these ranges.

    >>> print(gd.cosine_onecycle_schedule(100, 1.0)(30))
    1.0
    """

    def value(step):
        top, low = _floor_steps(pct_start, transition_steps), peak_value / div_factor
        heights = [low, peak_value, low / final_div_factor]
        return curve(as_float(step), as_float([top, transition_steps]), as_float(heights), half_cosine)

    return value


def _holds(relation: Callable[..., Any], a: Any, b: Any) -> bool:
    """Whether two numbers are concrete and satisfy a relation."""
    return is_concrete(a) and is_concrete(b) and bool(np.any(relation(np.asarray(a), np.asarray(b))))


def _floor_steps(share: Any, steps: Any) -> jax.Array:
    """The number of whole steps in a share of all, as in double precision: 0.7 in float32 is less than seven tenths."""
    product = as_float(share) * as_float(steps)
    return jnp.floor(step_for_edges(product, jnp.asarray(product.dtype == jnp.float64)))


@schedule(bounds={"boundaries": f"{NON_NEGATIVE}, ..."})
def join_schedules(schedules: Sequence[Any], boundaries: Sequence[float]):
    """Schedules one after another, each from its own step 0: `join`, but a bare function is given whole steps as integers.

        f(s) = schedules[i](s - boundaries[i-1])   for   boundaries[i-1] <= s < boundaries[i]

    Args:
        schedules: n + 1 of Schedule, function of the step, or number.
        boundaries: n steps >= 0 that do not decrease; a boundary is the first step of its new schedule.

    Raises: ValueError on other lengths or an order that decreases; TypeError if an item is none of these.

    >>> print(gd.join_schedules([gd.constant_schedule(1.0), gd.exponential_decay(1.0, 1, 0.5)], [10])(12))
    0.25
    """
    pieces = [as_function("join_schedules", item) for item in schedules]
    check_pieces("join_schedules", boundaries, schedules, "schedules", strictly=False)

    def value(step):
        dtype = jnp.result_type(step)
        given = [
            _of_integers(piece, dtype) if _is_bare(item) and jnp.issubdtype(dtype, jnp.integer) else piece
            for item, piece in zip(schedules, pieces, strict=True)
        ]
        return in_turn(given, boundaries, as_float(step))

    return value


def _is_bare(item: Any) -> bool:
    return callable(item) and not isinstance(item, Schedule)


def _of_integers(function: Callable[..., Any], dtype: Any) -> Callable[[jax.Array], jax.Array]:
    return lambda step: function(jnp.round(step).astype(dtype))


@schedule(reads={"cosine_kwargs": lambda cycles: tuple(dict(cycle) for cycle in cycles)})
def sgdr_schedule(cosine_kwargs: Iterable[Mapping[str, float]]):
    """`warmup_cosine_decay_schedule` again and again, each time with its own arguments.

    Args:
        cosine_kwargs: for each cycle a dict of the arguments of `warmup_cosine_decay_schedule`; a cycle ends after its
            decay_steps.

    Raises: ValueError if there is no cycle; whatever `warmup_cosine_decay_schedule` raises.
    See also: `cosine_restarts`, whose cycles follow from the first by two factors.
    Reference: Loshchilov & Hutter 2017, arXiv:1608.03983.

    >>> cycle = {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 10, "decay_steps": 50}
    >>> print(gd.sgdr_schedule([cycle, cycle])(80))
    0.5
    """
    pieces = [warmup_cosine_decay_schedule(**cycle) for cycle in cosine_kwargs]
    if not pieces:
        raise ValueError("sgdr_schedule: cosine_kwargs must hold at least one cycle, got none")
    boundaries = [0]
    for piece in pieces[:-1]:
        boundaries.append(boundaries[-1] + piece.arguments["decay_steps"])
    return lambda step: in_turn(pieces, boundaries[1:], as_float(step))
