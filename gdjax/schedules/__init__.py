"""Schedules: numbers that depend on the step.

A schedule is a call node, `step () int32 -> value () float`, where step is the number of updates already applied. A
*transition* is a weight that decreases from 1 to 0 over a length; linear, polynomial, cosine, one-cycle and
warm-up-stable-decay schedules blend values with it. A *cycle* is an index and a phase. Lengths are numbers, and leaves like
all others: a sweep over `decay_steps` is a `vmap`, and `in_epochs` reads every length of a schedule in epochs.

Schedules of schedules (`warmup`, `join`, `in_epochs`) take a node, any function of the step, or a number; their inner
schedules receive float steps, from 0.

Steps are converted to the default float. In float32 they are exact up to 2**24 (16.8 million); beyond, a step is rounded,
by at most one step up to 2**25, two up to 2**26 and so on. Within that range a jump after a whole length happens at the
exact step, and one after any other length (such as 0.7) within the rounding of its decimal. With `jax_enable_x64` every
int32 step is exact.

Schedules under Optax's names have Optax's arguments (`warmup_cosine_decay_schedule(...)`: `optax_names`, `optax_phases`).
"""

from __future__ import annotations

from collections.abc import Callable

from gdjax.calls import Schedule
from gdjax.schedules.combine import in_epochs, join, warmup, warmup_stable_decay
from gdjax.schedules.cycles import cosine_restarts, cyclic, one_cycle
from gdjax.schedules.optax_names import (
    constant_schedule,
    cosine_decay_schedule,
    exponential_decay,
    linear_schedule,
    piecewise_constant_schedule,
    piecewise_interpolate_schedule,
    polynomial_schedule,
)
from gdjax.schedules.optax_phases import (
    cosine_onecycle_schedule,
    join_schedules,
    linear_onecycle_schedule,
    sgdr_schedule,
    warmup_constant_schedule,
    warmup_cosine_decay_schedule,
    warmup_exponential_decay_schedule,
)
from gdjax.schedules.shapes import (
    constant,
    cosine,
    exponential,
    inverse_sqrt,
    inverse_time,
    linear,
    piecewise_constant,
    piecewise_interpolate,
    polynomial,
    step_decay,
)

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    name: factory
    for name, factory in list(globals().items())
    if getattr(getattr(factory, "recipe", None), "kind", None) is Schedule
}

__all__ = [
    "SCHEDULES",
    "constant",
    "constant_schedule",
    "cosine",
    "cosine_decay_schedule",
    "cosine_onecycle_schedule",
    "cosine_restarts",
    "cyclic",
    "exponential",
    "exponential_decay",
    "in_epochs",
    "inverse_sqrt",
    "inverse_time",
    "join",
    "join_schedules",
    "linear",
    "linear_onecycle_schedule",
    "linear_schedule",
    "one_cycle",
    "piecewise_constant",
    "piecewise_constant_schedule",
    "piecewise_interpolate",
    "piecewise_interpolate_schedule",
    "polynomial",
    "polynomial_schedule",
    "sgdr_schedule",
    "step_decay",
    "warmup",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
    "warmup_exponential_decay_schedule",
    "warmup_stable_decay",
]
