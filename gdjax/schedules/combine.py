"""Combinations of schedules, and schedules of several phases."""

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
    as_float,
    as_function,
    blend,
    check_pieces,
    choose,
    is_past,
    progress,
    raise_to,
)


@schedule(bounds={"warmup_steps": NON_NEGATIVE, "init_value": ANY})
def warmup(inner: Any, warmup_steps: float, init_value: float = 0.0):
    """A straight ramp to where any schedule begins, then that schedule from its own step 0.

        f(s) = init_value + (inner(0) - init_value) s / W   for s < W = warmup_steps,   inner(s - W) after

    So `warmup(cosine(peak, total - W), W)` is the schedule of most language models, total steps long.

    Args:
        inner: Schedule, function of the step, or a number.
        warmup_steps: >= 0; at 0 there is no ramp.
        init_value: value at step 0. The default of 0, Optax's too, makes the very first update do nothing
            (google-research/bert#1293); to ramp as (s + 1) / W instead, write
            `warmup(inner, W - 1, init_value=peak / W)`.

    Raises: ValueError outside these ranges; TypeError if inner is none of these.
    Reference: Goyal et al. 2017, section 2.2 ("gradual warmup"), arXiv:1706.02677.

    >>> print(gd.schedules.warmup(gd.schedules.cosine(1.0, 90), 10)(5))
    0.5
    """
    after = as_function("warmup", inner)

    def value(step):
        step = as_float(step)
        return blend(init_value, after(jnp.maximum(step - warmup_steps, 0)), 1 - progress(step, warmup_steps))

    return value


@schedule(
    static=("decay",),
    bounds={
        "peak_value": ANY,
        "warmup_steps": NON_NEGATIVE,
        "stable_steps": NON_NEGATIVE,
        "decay_steps": NON_NEGATIVE,
        "end_value": ANY,
    },
)
def warmup_stable_decay(
    peak_value: float,
    warmup_steps: float,
    stable_steps: float,
    decay_steps: float,
    end_value: float = 0.0,
    decay: str = "linear",
):
    """A trapezoid: a ramp from 0, a plateau that may be as long as it likes, a final fall (WSD).

        f(s) = peak_value s / warmup_steps,  then peak_value,  then end_value + (peak_value - end_value) w(x)

    with x from 0 to 1 in the last phase, w(x) = 1 - x ("linear"), (1 + cos(pi x)) / 2 ("cosine") or
    1 - sqrt(x) ("sqrt").

    Args:
        peak_value: value of the plateau.
        warmup_steps, stable_steps, decay_steps: >= 0, lengths of the three phases; 0 leaves one out. To start
            above 0, leave the ramp out and write `warmup(warmup_stable_decay(...), W, init_value)`.
        end_value: value at the end and after.
        decay: shape of the fall.

    Raises: ValueError outside these ranges or on another decay.
    Reference: Zhai et al. 2022, arXiv:2106.04560; Hu et al. 2024 (WSD), arXiv:2404.06395;
        Hägele et al. 2024 ("sqrt"), arXiv:2405.18392.

    >>> print(gd.schedules.warmup_stable_decay(1.0, 10, 80, 10)(95))
    0.5
    """
    fall = choose("warmup_stable_decay", "decay", decay, {**FALLS, "sqrt": lambda x: 1 - raise_to(x, 0.5)})

    def value(step):
        step = as_float(step)
        weight = fall(progress(step - warmup_steps - stable_steps, decay_steps))
        return progress(step, warmup_steps) * blend(peak_value, end_value, weight)

    return value


@schedule(bounds={"boundaries": f"{NON_NEGATIVE}, ..."})
def join(schedules: Sequence[Any], boundaries: Sequence[float]):
    """Schedules one after another, each from its own step 0.

        f(s) = schedules[i](s - boundaries[i-1])   for   boundaries[i-1] <= s < boundaries[i]

    Args:
        schedules: n + 1 of Schedule, function of the step, or number.
        boundaries: n increasing steps >= 0; a boundary is the first step of its new schedule.

    Raises: ValueError on other lengths or an order that does not increase; TypeError if an item is none of
        these.

    >>> print(gd.schedules.join([1.0, gd.schedules.linear(1.0, 0.0, 100)], [10])(35))
    0.75
    """
    pieces = [as_function("join", item) for item in schedules]
    check_pieces("join", boundaries, schedules, "schedules")
    return lambda step: in_turn(pieces, boundaries, as_float(step))


def in_turn(pieces: Sequence[Callable[..., Any]], boundaries: Sequence[Any], step: jax.Array) -> jax.Array:
    """The value of the present piece at the number of steps since it began."""
    begins, ends = [0.0, *boundaries], [*boundaries, jnp.inf]
    values = [
        piece(jnp.clip(step - begin, 0, end - begin))  # outside its interval a piece may be infinite
        for piece, begin, end in zip(pieces, begins, ends, strict=True)
    ]
    return jnp.stack(values)[jnp.sum(is_past(step, as_float(boundaries)))]


@schedule(bounds={"steps_per_epoch": POSITIVE})
def in_epochs(inner: Any, steps_per_epoch: float):
    """A schedule whose lengths are meant in epochs, read at steps.

        f(s) = inner(s / steps_per_epoch)

    Args:
        inner: Schedule, function of the epoch (a float: half-way through the third is 2.5), or a number.
        steps_per_epoch: > 0.

    Raises: ValueError outside this range; TypeError if inner is none of these.

    >>> print(gd.schedules.in_epochs(gd.schedules.linear(1.0, 0.0, 10), 50)(250))
    0.5
    """
    of_epoch = as_function("in_epochs", inner)

    def value(step):
        epochs, steps = jnp.divmod(as_float(step), steps_per_epoch)  # whole epochs are exact; a quotient is rounded
        return of_epoch(epochs + steps / steps_per_epoch)

    return value
