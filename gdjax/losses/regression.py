"""Losses of numbers: of an error elementwise, and of the angle between two vectors.

A vector-valued output (..., D) keeps its axis; `supervised` takes the mean over it. Complex numbers are taken too: |e| is
then the modulus. Targets of None are 0, as in Optax.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gdjax.calls import check_interval
from gdjax.losses.arguments import Axis, alike, floating, last, mask_of, nonempty_rows, select, widen_arguments
from gdjax.tree import abs_sq, absolute, norm_along


@widen_arguments
def squared_error(predictions: ArrayLike, targets: ArrayLike | None = None) -> jax.Array:
    """|predictions - targets|².   Shapes: (...), (...) -> (...), real.

    >>> print(gd.losses.squared_error(2.0, 5.0))
    9.0
    """
    return abs_sq(_error("squared_error", predictions, targets))


@widen_arguments
def half_squared_error(predictions: ArrayLike, targets: ArrayLike | None = None) -> jax.Array:
    """|predictions - targets|² / 2, whose gradient is the error itself.   Shapes: (...), (...) -> (...), real.

    >>> print(gd.losses.half_squared_error(2.0, 5.0))
    4.5
    """
    return abs_sq(_error("half_squared_error", predictions, targets)) / 2


@widen_arguments
def l2_loss(predictions: ArrayLike, targets: ArrayLike | None = None) -> jax.Array:
    """`half_squared_error` by its name in Optax: |predictions - targets|² / 2.   Shapes: (...), (...) -> (...), real.

    >>> print(gd.l2_loss(2.0, 5.0))
    4.5
    """
    return abs_sq(_error("l2_loss", predictions, targets)) / 2


@widen_arguments
def absolute_error(predictions: ArrayLike, targets: ArrayLike | None = None) -> jax.Array:
    """|predictions - targets|, with subgradient 0 at 0.   Shapes: (...), (...) -> (...), real.

    >>> print(gd.losses.absolute_error(2.0, 5.0))
    3.0
    """
    return absolute(_error("absolute_error", predictions, targets))


@widen_arguments
def huber(predictions: ArrayLike, targets: ArrayLike | None = None, delta: float | jax.Array = 1.0) -> jax.Array:
    """Squared near 0, linear beyond delta: its gradient is the error e clipped to [-delta, delta].

        |e|²/2 where |e| <= delta,   delta (|e| - delta/2) elsewhere,   e = predictions - targets

    Args:
        delta: > 0, target units.

    Shapes: (...), (...) -> (...), real.   Reference: Huber 1964, Ann. Math. Statist. 35.

    >>> print(gd.losses.huber(2.0, 5.0, delta=1.0))
    2.5
    """
    return _huber("huber", predictions, targets, delta)


@widen_arguments
def huber_loss(
    predictions: ArrayLike, targets: ArrayLike | None = None, *, delta: float | jax.Array = 1.0
) -> jax.Array:
    """`huber` by its name in Optax.   Shapes: (...), (...) -> (...), real.

    >>> print(gd.huber_loss(2.0, 5.0, delta=1.0))
    2.5
    """
    return _huber("huber_loss", predictions, targets, delta)


def _huber(who: str, predictions: ArrayLike, targets: ArrayLike | None, delta: float | jax.Array) -> jax.Array:
    check_interval(who, "delta", delta, "(0, inf)")
    error = _error(who, predictions, targets)
    size = absolute(error)
    near = size <= delta
    return jnp.where(near, abs_sq(jnp.where(near, error, 0)) / 2, delta * (size - delta / 2))


@widen_arguments
def log_cosh(predictions: ArrayLike, targets: ArrayLike | None = None) -> jax.Array:
    """log cosh |e|, e = predictions - targets: |e|²/2 near 0, |e| - log 2 far away, smooth between.

    Shapes: (...), (...) -> (...), real.   Differs from: optax.log_cosh, in float32 off by 7 % at e = 1e-3.

    >>> print(gd.log_cosh(2.0, 5.0))
    2.3093
    """
    error = _error("log_cosh", predictions, targets)
    error = absolute(error) if jnp.iscomplexobj(error) else error
    near = jnp.log1p(2 * jnp.sinh(jnp.clip(error, -1, 1) / 2) ** 2)  # cosh e = 1 + 2 sinh²(e/2)
    far = jnp.abs(error) + jnp.log1p(jnp.exp(-2 * jnp.abs(error))) - jnp.log(2)
    return jnp.where(jnp.abs(error) < 1, near, far)


@widen_arguments
def cosine_similarity(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    epsilon: float | jax.Array = 0.0,
    axis: Axis = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """<a, b> / (|a| |b|), the cosine of the angle between two vectors, in [-1, 1]; NaN where one is 0.

    Args:
        epsilon: >= 0; a |a|² below it is taken as epsilon, so that a vector of 0 has a similarity of 0.
        axis: along which the vectors run; several, or all if None, are one vector.
        where: bool, broadcast to the shape of predictions; which entries there are. The similarity of none is 0.

    Shapes: (..., D), (..., D) -> (...).   Differs from: optax.cosine_similarity, whose squares overflow and vanish.

    >>> print(gd.cosine_similarity(jnp.array([1.0, 0.0]), jnp.array([3.0, 4.0])))
    0.6
    """
    similarity, _ = _cosine("cosine_similarity", predictions, targets, epsilon, axis, where)
    return similarity


@widen_arguments
def cosine_distance(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    epsilon: float | jax.Array = 0.0,
    axis: Axis = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """1 - `cosine_similarity`, in [0, 2]; 0 where the mask leaves nothing.   Shapes: (..., D), (..., D) -> (...).

    >>> print(gd.cosine_distance(jnp.array([1.0, 0.0]), jnp.array([3.0, 4.0])))
    0.4
    """
    similarity, some = _cosine("cosine_distance", predictions, targets, epsilon, axis, where)
    return jnp.where(some, 1 - similarity, 0)


def _cosine(who, predictions, targets, epsilon, axis, where) -> tuple[jax.Array, jax.Array]:
    """The similarity, 0 where nothing is left of the vectors, and where something is."""
    check_interval(who, "epsilon", epsilon, "[0, inf)")
    a, b = alike(who, "predictions", predictions, "targets", targets, real=True)
    mask, some = mask_of(who, "predictions", a, axis, where, rows=False), jnp.asarray(True)
    a, b = last(who, a, axis), last(who, b, axis)
    if mask is not None:
        some = nonempty_rows(mask)
        a, b = (jnp.where(some[..., None], select(x, mask), 1) for x in (a, b))
    return jnp.where(some, jnp.sum(_unit(a, epsilon) * _unit(b, epsilon), axis=-1), 0), some


def _unit(x: jax.Array, epsilon: float | jax.Array) -> jax.Array:
    """x / max(|x|, sqrt(epsilon)) along the last axis."""
    size, scale = norm_along(x, -1)
    least = jnp.sqrt(jnp.asarray(epsilon, x.dtype))
    short = size < least * scale
    return jnp.where(short, x / jnp.where(short, least, 1), x * scale / jnp.where(short, 1, size))


def _error(who: str, predictions: ArrayLike, targets: ArrayLike | None) -> jax.Array:
    if targets is None:
        return floating(who, predictions)
    predictions, targets = alike(who, "predictions", predictions, "targets", targets)
    return predictions - targets
