"""Functions of steps and lengths that the schedules share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import Precise, is_concrete, is_number

ANY, POSITIVE, NON_NEGATIVE, AT_LEAST_1 = "(-inf, inf)", "(0, inf)", "[0, inf)", "[1, inf)"


def as_float(x: Any) -> jax.Array:
    return jnp.asarray(x, dtype=float)


def as_function(who: str, inner: Any) -> Callable[[jax.Array], jax.Array]:
    """A function of the step, from a schedule, a function or a number."""
    if not (callable(inner) or is_number(inner)):
        raise TypeError(f"{who}: a schedule must be a node, a function or a number, got {inner!r}")
    return lambda step: as_float(inner(step) if callable(inner) else inner)


def blend(start: Any, end: Any, weight: jax.Array) -> jax.Array:
    """The blend of start (weight 1) and end (weight 0), exact at both."""
    return weight * start + (1 - weight) * end


def progress(step: jax.Array, length: Any) -> jax.Array:
    """The elapsed share of a length, in [0, 1]; a length of 0 has elapsed at step 0."""
    safe = jnp.where(length > 0, length, 1)
    return jnp.where(step < length, jnp.maximum(step, 0) / safe, 1)


def half_cosine(x: jax.Array) -> jax.Array:
    return (1 + jnp.cos(jnp.pi * x)) / 2


# weights from 1 to 0 while x goes from 0 to 1
FALLS: dict[str, Callable[[jax.Array], jax.Array]] = {"linear": lambda x: 1 - x, "cosine": half_cosine}


def above_one(factor: Any, origin: float = 1.0) -> Any:
    """factor - origin (default 1), with the digits of a double-precision factor that float32 would lose."""
    if isinstance(factor, Precise):
        high, low = as_float(factor.high), as_float(factor.low)
        return (_nearest_single(high) - origin) + low
    return factor - origin


def _nearest_single(x: jax.Array) -> jax.Array:
    """The nearest float32, in the dtype of x; a conversion there and back is left out by XLA on a GPU."""
    return x if x.dtype == jnp.float32 else jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=23)


def geometric(start: Any, factor: Any, periods: jax.Array) -> jax.Array:
    """start factor^periods. If the power alone overflows or underflows, its square root is multiplied twice.

    The logarithm of a factor near 1 is computed before rounding, since a thousand periods would multiply the rounding error.
    """
    excess = above_one(factor)
    near = jnp.abs(excess) < 0.4  # beyond, the power of the factor itself is more accurate
    log = as_float(np.log1p(excess)) if is_concrete(excess) else jnp.log1p(jnp.where(near, excess, 0))
    base = jnp.where(near, 1, as_float(above_one(factor, 0)))

    def power(n):
        return jnp.where(near, jnp.exp(n * log), base**n)

    whole = jax.lax.stop_gradient(power(periods))
    representable = (whole >= jnp.finfo(whole.dtype).tiny) & (whole < jnp.inf)
    half = power(jnp.where(representable, 0, periods / 2))
    return jnp.where(representable, start * power(jnp.where(representable, periods, 0)), (start * half) * half)


def raise_to(x: jax.Array, exponent: Any) -> jax.Array:
    """x**exponent for x in [0, 1], with gradient 0 at 0, where that of a root is infinite."""
    return jnp.where(x > 0, jnp.where(x > 0, x, 1) ** exponent, 0)


def is_whole(length: Any) -> jax.Array:
    length = as_float(length)
    return length == jnp.round(length)


def step_for_edges(step: jax.Array, exact: jax.Array) -> jax.Array:
    """The step to compare with an edge: unchanged if the edge is exact, else increased by the rounding of both.

    Twice the float's eps covers a decimal length, its multiples, and steps given in epochs: 0.1 in float32 is more than a
    tenth, but 70 lengths of 0.1 have elapsed at step 7.
    """
    return step + jnp.where(exact, 0, 2 * jnp.finfo(step.dtype).eps * step)


def is_past(step: jax.Array, boundary: Any) -> jax.Array:
    return step_for_edges(step, is_whole(boundary)) >= boundary


def count(step: jax.Array, length: Any) -> jax.Array:
    """The number of whole lengths that have elapsed, by remainder, since the floor of a rounded quotient misses edges."""
    return jax.lax.stop_gradient(jnp.floor_divide(step_for_edges(step, is_whole(length)), length))


def periods_in(elapsed: jax.Array, length: Any, staircase: bool) -> jax.Array:
    return count(elapsed, length) if staircase else elapsed / length


def choose(who: str, name: str, choice: str, options: dict[str, Callable[..., Any]]) -> Callable[..., Any]:
    if choice not in options:
        raise ValueError(f"{who}: {name} must be one of {', '.join(map(repr, options))}, got {choice!r}")
    return options[choice]


def check_pieces(who: str, boundaries: Any, pieces: Any, name: str, strictly: bool = True) -> None:
    if len(pieces) != len(boundaries) + 1:
        number = f"{len(pieces)} for {len(boundaries)} boundaries"
        raise ValueError(f"{who}: {name} must be one more than boundaries, got {number}")
    if all(map(is_concrete, jax.tree.leaves(boundaries))):
        edges = np.asarray(boundaries)
        gaps = np.diff(edges, axis=0)
        if np.any(gaps <= 0 if strictly else gaps < 0):
            must = "increase" if strictly else "not decrease"
            raise ValueError(f"{who}: boundaries must {must}, got {edges.tolist()}")
