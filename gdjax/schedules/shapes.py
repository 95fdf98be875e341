"""Schedules: a number that depends on the step.

A schedule is a call node, `step () int32 -> value () float`; step counts the updates already applied, from 0.
Three ideas carry the file. A *transition* is a weight that falls from 1 to 0 while its length passes; what it
blends makes it linear, polynomial, cosine, one-cycle or warm-up-stable-decay. A *cycle* is an index and a
phase. And lengths are plain numbers, leaves like all others: a sweep over `decay_steps` is a `vmap`, and
`in_epochs` reads every length of a schedule in epochs.

Schedules of schedules (`warmup`, `join`, `in_epochs`) take a node, any function of the step, or a number; and
what they hold sees float steps, from 0.

Steps are computed with in the default float. In float32 they are exact up to 2**24 (16.8 million); above, a
step is rounded to its nearest float: at most one step off up to 2**25, two up to 2**26 and so on. Up to there
a jump after a whole length is met to the step, and one after any other length (0.7, which no float is) within
the rounding of its decimal. With `jax_enable_x64` every int32 step is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls.node import Precise, Schedule, is_concrete, is_number, schedule

ANY, POSITIVE, NON_NEGATIVE, AT_LEAST_1 = "(-inf, inf)", "(0, inf)", "[0, inf)", "[1, inf)"


@schedule(bounds={"value": ANY})
def constant(value: float):
    """The same value at every step.

        f(s) = value

    Args:
        value: number or scalar array.
    """
    return lambda step: _float(value)


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
    """

    def value(step):
        return _blend(init_value, end_value, 1 - _passed(_float(step) - transition_begin, transition_steps))

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
    """

    def value(step):
        left = 1 - _passed(_float(step) - transition_begin, transition_steps)
        return _blend(init_value, end_value, _power(left, power))

    return value


@schedule(bounds={"boundaries": NON_NEGATIVE, "values": ANY})
def piecewise_constant(boundaries: Sequence[float], values: Sequence[float]):
    """A value that jumps at boundaries.

        f(s) = values[i]   for   boundaries[i-1] <= s < boundaries[i]

    Args:
        boundaries: n increasing steps >= 0; a boundary is the first step of its new value.
        values: n + 1 values.

    Raises: ValueError on other lengths or an order that does not increase.
    Differs from: optax.piecewise_constant_schedule, whose boundaries carry factors on the value before.
    """
    _check_pieces("piecewise_constant", boundaries, values, "values")

    def value(step):
        return _float(values)[jnp.sum(_reached(_float(step), _float(boundaries)))]

    return value


@schedule(static=("interpolation",), bounds={"boundaries": POSITIVE, "values": ANY})
def piecewise_interpolate(boundaries: Sequence[float], values: Sequence[float], interpolation: str = "linear"):
    """A curve through given values at given steps, constant after the last.

        f(0) = values[0],   f(boundaries[i]) = values[i+1],   between them a line or half a cosine wave

    Args:
        boundaries: n increasing steps > 0.
        values: n + 1 values; the first is that of step 0.
        interpolation: "linear" or "cosine" (flat at every boundary).

    Raises: ValueError on other lengths, an order that does not increase, or another interpolation.
    Differs from: optax.piecewise_interpolate_schedule, whose boundaries carry factors on the value before.
    """
    fall = _choose("piecewise_interpolate", "interpolation", interpolation, _FALLS)
    _check_pieces("piecewise_interpolate", boundaries, values, "values")

    def value(step):
        step, heights = _float(step), _float(values)
        knots = jnp.concatenate([jnp.zeros(1), _float(boundaries)])
        i = jnp.sum(step >= knots[1:-1])
        end = jnp.minimum(i + 1, len(knots) - 1)
        return _blend(heights[i], heights[end], fall(_passed(step - knots[i], knots[end] - knots[i])))

    return value


@schedule(bounds={"init_value": ANY, "factor": POSITIVE, "every": POSITIVE}, precise=("factor",))
def step_decay(init_value: float, factor: float, every: float):
    """The value times a factor, every so many steps: `exponential` in stairs, in the lectures' words.

        f(s) = init_value factor^floor(s / every)

    Args:
        init_value: value of the first `every` steps.
        factor: > 0, usually below 1.
        every: > 0, steps between two drops.

    Raises: ValueError outside these ranges.
    """
    return lambda step: _grown(init_value, factor, _count(_float(step), every))


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
    """

    def value(step):
        elapsed = jnp.maximum(_float(step) - transition_begin, 0)
        periods = _periods(elapsed, transition_steps, staircase)
        decayed = _grown(init_value, decay_rate, periods)
        if end_value is None:
            return decayed
        crossed = jnp.where(_above_one(decay_rate) < 0, decayed < end_value, decayed > end_value)
        return jnp.where(crossed, end_value, _grown(init_value, decay_rate, jnp.where(crossed, 0, periods)))

    return value


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
    """
    return lambda step: init_value / (1 + decay_rate * _periods(_float(step), transition_steps, staircase))


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
    """

    def value(step):
        step = _float(step)
        decay = jnp.sqrt(warmup_steps / jnp.maximum(step, warmup_steps))
        return _blend(init_value, peak_value, 1 - _passed(step, warmup_steps)) * decay

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
    """

    def value(step):
        wave = _half_cosine(_passed(_float(step), decay_steps))
        return init_value * _blend(1, alpha, _power(wave, exponent))

    return value


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
    """

    def value(step):
        index, phase = _cycle(_float(step), _float(cycle_steps), _float(growth))
        return init_value * decay**index * _blend(1, alpha, _half_cosine(phase))

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
    """
    height = _choose("cyclic", "mode", mode, _HEIGHTS)
    if mode != "exp_range" and is_concrete(gamma) and np.any(np.asarray(gamma) != 1):
        raise ValueError(f"cyclic: gamma must be 1 unless mode is 'exp_range', got {gamma} with {mode!r}")

    def value(step):
        step = _float(step)
        index, phase = _cycle(step, _float(2 * step_size), _float(growth))
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

        peak_value / div_factor  ->  peak_value  ->  peak_value / (div_factor final_div_factor)
             at step 0           pct_start total_steps              total_steps and after

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
    """
    fall = _choose("one_cycle", "anneal", anneal, _FALLS)

    def value(step):
        step, top = _float(step), pct_start * total_steps
        low = peak_value / div_factor
        risen = _blend(low, peak_value, fall(_passed(step, top)))
        return _blend(risen, low / final_div_factor, fall(_passed(step - top, total_steps - top)))

    return value


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
    """
    after = _function("warmup", inner)

    def value(step):
        step = _float(step)
        return _blend(init_value, after(jnp.maximum(step - warmup_steps, 0)), 1 - _passed(step, warmup_steps))

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
    """
    fall = _choose("warmup_stable_decay", "decay", decay, {**_FALLS, "sqrt": lambda x: 1 - _power(x, 0.5)})

    def value(step):
        step = _float(step)
        weight = fall(_passed(step - warmup_steps - stable_steps, decay_steps))
        return _passed(step, warmup_steps) * _blend(peak_value, end_value, weight)

    return value


@schedule(bounds={"boundaries": NON_NEGATIVE})
def join(schedules: Sequence[Any], boundaries: Sequence[float]):
    """Schedules one after another, each from its own step 0.

        f(s) = schedules[i](s - boundaries[i-1])   for   boundaries[i-1] <= s < boundaries[i]

    Args:
        schedules: n + 1 of Schedule, function of the step, or number.
        boundaries: n increasing steps >= 0; a boundary is the first step of its new schedule.

    Raises: ValueError on other lengths or an order that does not increase; TypeError if an item is none of
        these.
    """
    pieces = [_function("join", item) for item in schedules]
    _check_pieces("join", boundaries, schedules, "schedules")

    def value(step):
        step = _float(step)
        begins, ends = [0.0, *boundaries], [*boundaries, jnp.inf]
        values = [
            piece(jnp.clip(step - begin, 0, end - begin))  # outside its time a piece may be infinite
            for piece, begin, end in zip(pieces, begins, ends, strict=True)
        ]
        return jnp.stack(values)[jnp.sum(_reached(step, _float(boundaries)))]

    return value


@schedule(bounds={"steps_per_epoch": POSITIVE})
def in_epochs(inner: Any, steps_per_epoch: float):
    """A schedule whose lengths are meant in epochs, read at steps.

        f(s) = inner(s / steps_per_epoch)

    Args:
        inner: Schedule, function of the epoch (a float: half-way through the third is 2.5), or a number.
        steps_per_epoch: > 0.

    Raises: ValueError outside this range; TypeError if inner is none of these.
    """
    of_epoch = _function("in_epochs", inner)

    def value(step):
        epochs, steps = jnp.divmod(_float(step), steps_per_epoch)  # whole epochs are exact, as no quotient is
        return of_epoch(epochs + steps / steps_per_epoch)

    return value


def _float(x: Any) -> jax.Array:
    return jnp.asarray(x, dtype=float)


def _function(who: str, inner: Any) -> Callable[[jax.Array], jax.Array]:
    """A schedule, a bare function or a number, as a function of the step."""
    if not (callable(inner) or is_number(inner)):
        raise TypeError(f"{who}: a schedule must be a node, a function or a number, got {inner!r}")
    return lambda step: _float(inner(step) if callable(inner) else inner)


def _blend(start: Any, end: Any, weight: jax.Array) -> jax.Array:
    """From start (weight 1) to end (weight 0), exact at both."""
    return weight * start + (1 - weight) * end


def _passed(step: jax.Array, length: Any) -> jax.Array:
    """The part of length that has passed, in [0, 1]; a length of 0 has passed at step 0."""
    safe = jnp.where(length > 0, length, 1)
    return jnp.where(step < length, jnp.maximum(step, 0) / safe, 1)


def _half_cosine(x: jax.Array) -> jax.Array:
    return (1 + jnp.cos(jnp.pi * x)) / 2


_FALLS = {"linear": lambda x: 1 - x, "cosine": _half_cosine}  # weights from 1 to 0 while x goes from 0 to 1

_HEIGHTS = {
    "triangular": lambda step, index, gamma: 1,
    "triangular2": lambda step, index, gamma: 0.5**index,
    "exp_range": lambda step, index, gamma: _grown(1.0, gamma, step),
}


def _above_one(factor: Any, origin: float = 1.0) -> Any:
    """factor - 1, with the digits that float32 does not hold where there are any; or factor less another origin."""
    if isinstance(factor, Precise):
        low = _float(factor.low)
        return (jnp.asarray(factor.high, jnp.float32).astype(low.dtype) - origin) + low
    return factor - origin


def _grown(start: Any, factor: Any, periods: jax.Array) -> jax.Array:
    """start factor^periods. The power alone may be no float where the product is one; then half of it comes twice.

    Of a factor near 1 the logarithm is taken before it is rounded: a thousand periods would multiply the rounding.
    """
    excess = _above_one(factor)
    near = jnp.abs(excess) < 0.4  # beyond, a factor's own power has more digits than that of its logarithm
    log = _float(np.log1p(excess)) if is_concrete(excess) else jnp.log1p(jnp.where(near, excess, 0))
    base = jnp.where(near, 1, _float(_above_one(factor, 0)))

    def power(n):
        return jnp.where(near, jnp.exp(n * log), base**n)

    whole = jax.lax.stop_gradient(power(periods))
    held = (whole >= jnp.finfo(whole.dtype).tiny) & (whole < jnp.inf)
    half = power(jnp.where(held, 0, periods / 2))
    return jnp.where(held, start * power(jnp.where(held, periods, 0)), (start * half) * half)


def _power(x: jax.Array, exponent: Any) -> jax.Array:
    """x**exponent for x in [0, 1]; the gradient at 0 is taken as 0, where a root's is infinite."""
    return jnp.where(x > 0, jnp.where(x > 0, x, 1) ** exponent, 0)


def _whole(length: Any) -> jax.Array:
    length = _float(length)
    return length == jnp.round(length)


def _raised(step: jax.Array, exact: jax.Array) -> jax.Array:
    """The step as compared with edges: as it is with exact ones, else raised by the rounding of both.

    Twice the float's eps covers a decimal length, its multiples, and steps given in epochs: 0.1 in float32 is
    more than a tenth, yet step 7 is past 70 of them.
    """
    return step + jnp.where(exact, 0, 2 * jnp.finfo(step.dtype).eps * step)


def _reached(step: jax.Array, boundary: Any) -> jax.Array:
    return _raised(step, _whole(boundary)) >= boundary


def _count(step: jax.Array, length: Any) -> jax.Array:
    """How many whole lengths have passed. By remainder: the floor of a rounded quotient misses edges."""
    return jax.lax.stop_gradient(jnp.floor_divide(_raised(step, _whole(length)), length))


def _periods(elapsed: jax.Array, length: Any, staircase: bool) -> jax.Array:
    return _count(elapsed, length) if staircase else elapsed / length


@jax.jit
def _cycle(step: jax.Array, length: jax.Array, growth: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The cycle that step is in, and the part of it that has passed, if cycle i is length * growth**i long.

    The logarithm that inverts the geometric sum misses edges by rounding, so it only proposes a cycle: the
    sum itself decides between that one and its neighbours. Jitted, so that a call outside jit is not forty.
    """
    excess, periods = growth - 1, step / length
    safe = jnp.where(excess > 0, excess, 1)
    guess = jnp.floor(jnp.where(excess > 0, jnp.log1p(periods * excess) / jnp.log1p(safe), periods))
    near = jax.lax.stop_gradient(guess) + jnp.array([-1.0, 0.0, 1.0])
    starts = length * _geometric_sum(growth, near)
    chosen = jnp.sum(_raised(step, _whole(length) & (growth == 1)) >= starts[1:])
    index = near[chosen]
    return index, jnp.clip((step - starts[chosen]) / (length * growth**index), 0, 1)


def _geometric_sum(growth: jax.Array, n: jax.Array) -> jax.Array:
    """1 + growth + ... + growth**(n-1) for growth >= 1, without cancellation; right at 1 too."""
    excess = growth - 1
    safe = jnp.where(excess > 0, excess, jnp.finfo(growth.dtype).eps)
    near = jnp.expm1(n * jnp.log1p(safe)) / safe
    far = (growth**n - 1) / safe
    return jnp.where(excess > 0, jnp.where(n * excess < 0.5, near, far), n + n * (n - 1) / 2 * excess)


def _choose(who: str, name: str, choice: str, options: dict[str, Callable]) -> Callable:
    if choice not in options:
        raise ValueError(f"{who}: {name} must be one of {', '.join(map(repr, options))}, got {choice!r}")
    return options[choice]


def _check_pieces(who: str, boundaries: Any, pieces: Any, name: str) -> None:
    if len(pieces) != len(boundaries) + 1:
        count = f"{len(pieces)} for {len(boundaries)} boundaries"
        raise ValueError(f"{who}: {name} must be one more than boundaries, got {count}")
    if all(map(is_concrete, jax.tree.leaves(boundaries))):
        edges = np.asarray(boundaries)
        if np.any(np.diff(edges, axis=0) <= 0):
            raise ValueError(f"{who}: boundaries must increase, got {edges.tolist()}")


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "linear": linear,
    "polynomial": polynomial,
    "piecewise_constant": piecewise_constant,
    "piecewise_interpolate": piecewise_interpolate,
    "step_decay": step_decay,
    "exponential": exponential,
    "inverse_time": inverse_time,
    "inverse_sqrt": inverse_sqrt,
    "cosine": cosine,
    "cosine_restarts": cosine_restarts,
    "cyclic": cyclic,
    "one_cycle": one_cycle,
    "warmup": warmup,
    "warmup_stable_decay": warmup_stable_decay,
    "join": join,
    "in_epochs": in_epochs,
}
