"""Periodic schedules."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import is_concrete, schedule
from gdjax.schedules.steps import (
    ANY,
    AT_LEAST_1,
    FALLS,
    POSITIVE,
    as_float,
    blend,
    choose,
    geometric,
    half_cosine,
    is_whole,
    progress,
    step_for_edges,
)


@schedule(bounds={"init_value": ANY, "cycle_steps": POSITIVE, "growth": AT_LEAST_1, "decay": POSITIVE, "alpha": ANY})
def cosine_restarts(init_value: float, cycle_steps: float, growth: float = 1.0, decay: float = 1.0, alpha: float = 0.0):
    """`cosine` again and again, each time from the top (SGDR).

        f(s) = init_value decay^i (alpha + (1 - alpha) (1 + cos(pi x)) / 2)

    where x in [0, 1) is the phase in cycle i, which is cycle_steps growth^i long.

    Args:
        init_value: value at step 0, the first peak.
        cycle_steps: > 0, length of the first cycle.
        growth: >= 1, length of a cycle over that of the one before; the paper's T_mult.
        decay: > 0, peak of a cycle over that of the one before.
        alpha: the floor, as a fraction of the cycle's own peak. It is approached, and met by the next peak.

    Raises: ValueError outside these ranges.
    Reference: Loshchilov & Hutter 2017, equation 5, arXiv:1608.03983.

    >>> print(gd.schedules.cosine_restarts(0.1, 100, decay=0.5)(150))
    0.025
    """

    def value(step):
        index, phase = _cycle(as_float(step), as_float(cycle_steps), as_float(growth))
        return init_value * decay**index * blend(1, alpha, half_cosine(phase))

    return value


@schedule(
    static=("mode",),
    precise=("gamma",),
    bounds={
        "init_value": ANY,
        "peak_value": ANY,
        "step_size": POSITIVE,
        "gamma": POSITIVE,
        "growth": AT_LEAST_1,
        "decay": POSITIVE,
        "annealing": POSITIVE,
    },
)
def cyclic(
    init_value: float,
    peak_value: float,
    step_size: float,
    mode: str = "triangular",
    gamma: float = 1.0,
    *,
    growth: float = 1.0,
    decay: float = 1.0,
    annealing: float = 1.0,
):
    """Up and down in straight lines between two values, in cycles of fixed or varying length and height.

        f(s) = annealing^(i + x) (init_value + (peak_value - init_value) a decay^i (1 - |2x - 1|))

    where x in [0, 1) is the phase in cycle i, which is 2 step_size growth^i long, and a = 1 ("triangular"),
    2^-i ("triangular2") or gamma^s ("exp_range"). All variants are continuous.

    Args:
        init_value, peak_value: the low and the high end of the first cycle.
        step_size: > 0, half the length of the first cycle.
        mode: how the height falls, see above.
        gamma: > 0, factor of the height per step; for "exp_range" only.
        growth: >= 1, length of a cycle over that of the one before.
        decay: > 0, height of a cycle over that of the one before.
        annealing: > 0, factor on the whole wave, its low end included, in the course of each cycle.

    Raises: ValueError outside these ranges, on another mode, or on a gamma that the mode does not read.
    Reference: Smith 2015, section 3, arXiv:1506.01186; the last three arguments are the lectures' variants.

    >>> print(gd.schedules.cyclic(0.1, 0.5, 10)(5))
    0.3
    """
    height = choose("cyclic", "mode", mode, _HEIGHTS)
    if mode != "exp_range" and is_concrete(gamma) and np.any(np.asarray(gamma) != 1):
        raise ValueError(f"cyclic: gamma must be 1 unless mode is 'exp_range', got {gamma} with {mode!r}")

    def value(step):
        step = as_float(step)
        index, phase = _cycle(step, as_float(2 * step_size), as_float(growth))
        triangle = 1 - jnp.abs(2 * phase - 1)
        wave = init_value + (peak_value - init_value) * height(step, index, gamma) * decay**index * triangle
        return annealing ** (index + phase) * wave

    return value


@schedule(
    static=("anneal",),
    bounds={
        "peak_value": ANY,
        "total_steps": POSITIVE,
        "pct_start": "[0, 1)",
        "div_factor": POSITIVE,
        "final_div_factor": POSITIVE,
    },
)
def one_cycle(
    peak_value: float,
    total_steps: float,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    anneal: str = "cosine",
):
    """One rise to the peak and one long fall to almost nothing.

        f(0) = peak_value / div_factor
        f(pct_start total_steps) = peak_value
        f(total_steps) = peak_value / (div_factor final_div_factor),      and so at every later step

    Args:
        peak_value: the highest value.
        total_steps: > 0.
        pct_start: in [0, 1), fraction (not per cent) of the steps that rise.
        div_factor: > 0, the peak over the initial value.
        final_div_factor: > 0, the *initial* value over the final one.
        anneal: "cosine" or "linear", the shape of both phases.

    Raises: ValueError outside these ranges or on another anneal.
    Differs from: optax.cosine_onecycle_schedule, which rounds pct_start total_steps down;
        optax.linear_onecycle_schedule, which falls back to the initial value first and, in a third phase, to
        the final one (peak_value / final_div_factor by its page, as here by its code, see
        google-deepmind/optax#1781); torch's OneCycleLR, whose phases end one step earlier.
    Reference: Smith & Topin 2017, arXiv:1708.07120 (three phases); two phases after fastai.

    >>> print(gd.schedules.one_cycle(1.0, 100)(30))
    1.0
    """
    fall = choose("one_cycle", "anneal", anneal, FALLS)

    def value(step):
        step, top = as_float(step), pct_start * total_steps
        low = peak_value / div_factor
        risen = blend(low, peak_value, fall(progress(step, top)))
        return blend(risen, low / final_div_factor, fall(progress(step - top, total_steps - top)))

    return value


_HEIGHTS = {
    "triangular": lambda step, index, gamma: 1,
    "triangular2": lambda step, index, gamma: 0.5**index,
    "exp_range": lambda step, index, gamma: geometric(1.0, gamma, step),
}


@jax.jit
def _cycle(step: jax.Array, length: jax.Array, growth: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The index of the cycle at a step, and the elapsed share of it, if cycle i has length * growth**i steps.

    The logarithm that inverts the geometric sum may miss an edge by rounding, so the sum itself decides between that cycle
    and its neighbors. Jitted, so that a call outside jit is one program.
    """
    excess, periods = growth - 1, step / length
    safe = jnp.where(excess > 0, excess, 1)
    guess = jnp.floor(jnp.where(excess > 0, jnp.log1p(periods * excess) / jnp.log1p(safe), periods))
    near = jax.lax.stop_gradient(guess) + jnp.array([-1.0, 0.0, 1.0])
    starts = length * _geometric_sum(growth, near)
    chosen = jnp.sum(step_for_edges(step, is_whole(length) & (growth == 1)) >= starts[1:])
    index = near[chosen]
    return index, jnp.clip((step - starts[chosen]) / (length * growth**index), 0, 1)


def _geometric_sum(growth: jax.Array, n: jax.Array) -> jax.Array:
    """1 + growth + ... + growth**(n-1) for growth >= 1, without cancellation, also at 1."""
    excess = growth - 1
    safe = jnp.where(excess > 0, excess, jnp.finfo(growth.dtype).eps)
    near = jnp.expm1(n * jnp.log1p(safe)) / safe
    far = (growth**n - 1) / safe
    return jnp.where(excess > 0, jnp.where(n * excess < 0.5, near, far), n + n * (n - 1) / 2 * excess)
