"""Pooling: a place of an image or a series for a window of it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from gdjax.calls import model
from gdjax.models.geometry import check_padding, check_window, per_axis, window_over
from gdjax.models.initializers import Init
from gdjax.models.layers import check_size
from gdjax.patches import Window

Combine = Callable[[jax.Array, jax.Array], jax.Array]


@model(static=("window", "stride", "padding"))
def max_pool(window: Sequence[int], stride: int | Sequence[int] | None = None, padding: str | Sequence = "VALID"):
    """The largest number in each window, channel by channel; nothing to learn.

        y[p, c] = max_k x[stride p + k, c]       x (..., *space, channels) -> y (..., *places, channels);   params ()

    The gradient goes to the first of those that are largest.

    Args:
        window: sizes of the window: (height, width) for images, (length,) for series.
        stride: steps from window to window, one number or one for each axis (default: the size of the window, so that no
            two overlap).
        padding: "VALID" takes the windows inside of x alone, "SAME" as many as are needed to see all of it; or the entries
            (before, after) each axis. What is outside of x is never the largest.

    Raises: ValueError if a size is not a positive int, or x is smaller than the window.
    Differs from: Flax, whose stride is 1 if it is not given.

    >>> print(gd.models.max_pool((2,)).apply((), jnp.array([[1.0], [4.0], [9.0], [2.0], [7.0]]))[:, 0])
    [4. 9.]
    """
    _check("max_pool", window, stride, padding)

    def apply(params, x, key=None):
        x = jnp.asarray(x)
        least = -jnp.inf if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.iinfo(x.dtype).min
        return _pool("max_pool", x, window, stride, padding, _first_largest, least)

    return Init(()), apply


@model(static=("window", "stride", "padding"))
def mean_pool(window: Sequence[int], stride: int | Sequence[int] | None = None, padding: str | Sequence = "VALID"):
    """The mean of each window, channel by channel; nothing to learn.

        y[p, c] = mean_k x[stride p + k, c]      x (..., *space, channels) -> y (..., *places, channels);   params ()

    Args:
        window: sizes of the window: (height, width) for images, (length,) for series.
        stride: steps from window to window, one number or one for each axis (default: the size of the window, so that no
            two overlap).
        padding: "VALID" takes the windows inside of x alone, "SAME" as many as are needed to see all of it; or the entries
            (before, after) each axis. Zeros outside of x are entries like others.

    Raises: ValueError if a size is not a positive int, or x is smaller than the window.
    Differs from: Flax, whose stride is 1 if it is not given.

    >>> print(gd.models.mean_pool((2,)).apply((), jnp.array([[1.0], [4.0], [9.0], [2.0], [7.0]]))[:, 0])
    [2.5 5.5]
    """
    _check("mean_pool", window, stride, padding)

    def apply(params, x, key=None):
        return _pool("mean_pool", jnp.asarray(x) / math.prod(window), window, stride, padding, jax.lax.add, 0)

    return Init(()), apply


@model(static=("axes",))
def global_mean_pool(axes: int = 2):
    """The mean over all places, so that what is seen counts and not where; nothing to learn.

        y[c] = mean_p x[p, c]                    x (..., *space, channels) -> y (..., channels);   params ()

    Args:
        axes: 2 for images, 1 for series.

    Raises: ValueError if axes is not a positive int, or x has fewer axes.
    Reference: Lin, Chen & Yan 2013, section 3.2, arXiv:1312.4400.

    >>> print(gd.models.global_mean_pool(1).apply((), jnp.array([[1.0], [4.0], [9.0], [2.0]])))
    [4.]
    """
    check_size("global_mean_pool", "axes", axes)

    def apply(params, x, key=None):
        x = jnp.asarray(x)
        if x.ndim <= axes:
            raise ValueError(f"global_mean_pool: x must have {axes} axes and channels, got shape {x.shape}")
        return jnp.mean(x, axis=tuple(range(-1 - axes, -1)))

    return Init(()), apply


def _check(who: str, window, stride, padding) -> None:
    axes = len(check_window(who, "window", window))
    check_padding(who, padding, axes)
    per_axis(who, "stride", 1 if stride is None else stride, axes)


def _pool(who: str, x: jax.Array, window, stride, padding, combine: Combine, fill) -> jax.Array:
    """Combine what each window of x sees."""
    if x.ndim <= len(window):
        raise ValueError(f"{who}: x must have {len(window)} axes and channels, got shape {x.shape}")
    over = window_over(who, x, tuple(window), window if stride is None else stride, padding)
    return _over_windows(x, over, combine, fill)


@functools.partial(jax.jit, static_argnums=(1, 2, 3), inline=True)
def _over_windows(x: jax.Array, over: Window, combine: Combine, fill: float) -> jax.Array:
    """The same, one axis after the other, the last one first."""
    first = x.ndim - 1 - len(over.sizes)
    edges = [(0, 0, 0)] * first + [(low, high, 0) for low, high in over.padding] + [(0, 0, 0)]
    places = over.places(x.shape[first:-1])
    if any(map(any, edges)):
        x = jax.lax.pad(x, jnp.asarray(fill, x.dtype), edges)
    for i in reversed(range(len(over.sizes))):
        seen = _along(x, first + i, over.sizes[i], over.strides[i], places[i])
        x = functools.reduce(combine, seen)
    return x


def _along(x: jax.Array, axis: int, size: int, stride: int, places: int) -> list[jax.Array]:
    """What each entry of a window along one axis sees."""
    if size == stride:  # no two windows overlap: a reshape is faster than strided slices
        whole = jax.lax.slice_in_dim(x, 0, places * size, axis=axis)
        parts = whole.reshape(*x.shape[:axis], places, size, *x.shape[axis + 1 :])
        return [jax.lax.index_in_dim(parts, k, axis + 1, keepdims=False) for k in range(size)]
    return [jax.lax.slice_in_dim(x, k, k + (places - 1) * stride + 1, stride, axis) for k in range(size)]


def _first_largest(a: jax.Array, b: jax.Array) -> jax.Array:
    """The larger of two, the first if they are equal, and NaN if one of them is."""
    return jnp.where((b > a) | (b != b), b, a)
