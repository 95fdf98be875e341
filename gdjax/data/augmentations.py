"""Augmentations: an image or a series changed at random in a way that leaves its class, pure functions of (key, example).

    flip(key, x)    shift(key, x, 2)    crop(key, x, 0.8)    noise(key, x, 0.1)

x is one example, (height, width, channels) or (length, channels), and so is the result, in the same dtype; but noise makes
integers floats. In a loss each example has a key of its own, and none in evaluation; `gdjax.models.augment` is the layer
that says this for a model.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax.calls import check_interval, is_concrete
from gdjax.domain import as_length


def flip(key: jax.Array, x: Any) -> jax.Array:
    """Mirror it with probability 1/2: an image from left to right, a series from end to start.

    >>> print(gd.data.flip(jax.random.key(1), jnp.array([[1.0], [2.0], [3.0]]))[:, 0])
    [3. 2. 1.]
    """
    x = _example("flip", x)
    return jnp.where(jax.random.bernoulli(key), jnp.flip(x, -2), x)


def shift(key: jax.Array, x: Any, most: int = 1) -> jax.Array:
    """Move it by up to `most` places along each axis, all moves alike; what comes in repeats the margin.

    Args:
        most: a whole number, at least 0.

    >>> print(gd.data.shift(jax.random.key(2), jnp.array([[1.0], [2.0], [3.0]]), 1)[:, 0])
    [2. 3. 3.]
    """
    x = _example("shift", x)
    most = as_length("shift", "most", most, 0)
    padded = jnp.pad(x, [(most, most)] * (x.ndim - 1) + [(0, 0)], mode="edge")
    starts = jax.random.randint(key, (x.ndim - 1,), 0, 2 * most + 1)
    return jax.lax.dynamic_slice(padded, (*starts, 0), x.shape)


def crop(key: jax.Array, x: Any, least: Any = 0.8) -> jax.Array:
    """A window of it, stretched to its size: of at least this share of each side, all shares and places alike.

    Args:
        least: in (0, 1].

    >>> print(gd.data.crop(jax.random.key(0), jnp.ones((4, 4, 1)), 0.5).shape)
    (4, 4, 1)
    """
    x = _example("crop", x)
    if is_concrete(least):
        check_interval("crop", "least", least, "(0, 1]")
    of_size, of_place = jax.random.split(key)
    share = jax.random.uniform(of_size, minval=least, maxval=1.0)
    sides = jnp.array(x.shape[:-1], share.dtype)
    corner = jax.random.uniform(of_place, sides.shape) * (1 - share) * sides
    scale = jnp.full(sides.shape, 1 / share)
    axes = range(x.ndim - 1)
    moved = jax.image.scale_and_translate(
        x.astype(jnp.result_type(x, 0.0)), x.shape, axes, scale, -corner * scale, "linear", antialias=False
    )
    return (jnp.round(moved) if jnp.issubdtype(x.dtype, jnp.integer) else moved).astype(x.dtype)


def noise(key: jax.Array, x: Any, scale: Any = 0.1) -> jax.Array:
    """Add independent normal numbers.

    Args:
        scale: at least 0, their standard deviation, in the units of x.

    >>> x = jnp.zeros((1000, 1))
    >>> print(f"{gd.data.noise(jax.random.key(0), x, 0.5).std():.1f}")
    0.5
    """
    x = _example("noise", x)
    if is_concrete(scale):
        check_interval("noise", "scale", scale, "[0, inf)")
    dtype = jnp.result_type(x, 0.0)
    return x + jnp.asarray(scale, dtype) * jax.random.normal(key, x.shape, dtype)


def _example(who: str, x: Any) -> jax.Array:
    x = jnp.asarray(x)
    if x.ndim not in (2, 3):
        raise ValueError(
            f"{who}: x must be one example, (height, width, channels) or (length, channels), got shape {x.shape}; "
            "jax.vmap maps it over a batch and its keys"
        )
    return x
