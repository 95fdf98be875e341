"""Convolutions as patches and one matrix product.

XLA's convolutions on CPU are 5 to 45 times slower inside of a loop than outside; products are as fast in both. The shifted
views of x under each tap of the kernel are put side by side, so that a patch is a row of a matrix:

    y = patches(x) w,    patches (n, *out, taps in),    w (taps in, out)

Here x is (n, *space, in) with any number of axes of space, and w is (*kernel, in / groups, out). Padding may be negative,
and x may be dilated too, as in a transposed convolution.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

MOST_TAPS = 64  # of a kernel whose patches are worth their memory
PART = 2 << 20  # bytes of the patches that are put together at a time


class Window(NamedTuple):
    """A window that slides over the axes of space; each entry has one value for each of them."""

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]  # of the window
    spread: tuple[int, ...]  # dilation of x: zeros are put between its entries

    @property
    def taps(self) -> int:
        return math.prod(self.sizes)

    def places(self, space: Sequence[int]) -> tuple[int, ...]:
        """The number of places of the window along each axis, 0 where x is too small."""
        sides = zip(space, self.padding, self.spread, strict=True)
        lengths = [max(0, (n - 1) * spread + 1) + low + high for n, (low, high), spread in sides]
        spans = [(size - 1) * dilation + 1 for size, dilation in zip(self.sizes, self.dilation, strict=True)]
        each = zip(lengths, spans, self.strides, strict=True)
        return tuple(max(0, (length - span) // stride + 1) for length, span, stride in each)


def views(x: jax.Array, window: Window) -> list[jax.Array]:
    """What each tap of the window sees, (n, *places, channels): strided slices of x, which is padded with zeros."""
    places = window.places(x.shape[1:-1])
    edges = [(low, high, spread - 1) for (low, high), spread in zip(window.padding, window.spread, strict=True)]
    if any(map(any, edges)):
        x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    n, channels = x.shape[0], x.shape[-1]
    found = []
    for tap in itertools.product(*map(range, window.sizes)):
        start = [i * dilation for i, dilation in zip(tap, window.dilation, strict=True)]
        stop = [a + (p - 1) * stride + 1 for a, p, stride in zip(start, places, window.strides, strict=True)]
        found.append(jax.lax.slice(x, (0, *start, 0), (n, *stop, channels), (1, *window.strides, 1)))
    return found


@functools.partial(jax.jit, static_argnums=(2, 3), inline=True)
def convolve(x: jax.Array, w: jax.Array, window: Window, groups: int = 1) -> jax.Array:
    """The convolution of x (n, *space, in) with w (*kernel, in / groups, out): on CPU by products, elsewhere JAX's own."""
    if window.taps > MOST_TAPS:
        return convolve_natively(x, w, window, groups)
    return jax.lax.platform_dependent(
        x,
        w,
        cpu=lambda x, w: convolve_by_products(x, w, window, groups),
        default=lambda x, w: convolve_natively(x, w, window, groups),
    )


def convolve_natively(x: jax.Array, w: jax.Array, window: Window, groups: int = 1) -> jax.Array:
    """The same by JAX's convolution."""
    space = "DHW"[-len(window.sizes) :]
    numbers = jax.lax.conv_dimension_numbers(x.shape, w.shape, (f"N{space}C", f"{space}IO", f"N{space}C"))
    return jax.lax.conv_general_dilated(
        x, w, window.strides, window.padding, window.spread, window.dilation, numbers, groups
    )


def convolve_by_products(
    x: jax.Array, w: jax.Array, window: Window, groups: int = 1, precision: Any = None, dtype: Any = None
) -> jax.Array:
    """The same by products, y (n, *places, out), a part of the rows at a time if their patches have many bytes.

    In the backward pass the patches of a part are put together again, so that few of them are in memory at a time; and
    those of a part stay in the cache, which is faster than all at once. One row is never divided.
    """

    def multiply(x: jax.Array) -> jax.Array:
        return _products(views(x, window), w, groups, precision, dtype)

    n, places = x.shape[0], window.places(x.shape[1:-1])
    size = n * math.prod(places) * window.taps * x.shape[-1] * x.dtype.itemsize
    fewest = min(n, -(-size // PART)) if window.taps > 1 else 1
    return multiply(x) if fewest <= 1 else _in_parts(multiply, x, fewest)


def _in_parts(function: Callable[[jax.Array], jax.Array], x: jax.Array, fewest: int) -> jax.Array:
    """A function of rows, called on at least so many equal parts of them, one after the other.

    Row i is in part i mod parts: rows that are spread over devices are so in each part. Where no number up to twice the
    fewest divides them, there are rows of zeros at the end.
    """
    n = x.shape[0]
    equal = (n // parts for parts in range(fewest, min(2 * fewest, n) + 1) if n % parts == 0)
    size = next(equal, -(-n // fewest))
    parts = -(-n // size)
    if parts * size > n:
        x = jnp.pad(x, [(0, parts * size - n), *[(0, 0)] * (x.ndim - 1)])
    taken = jnp.moveaxis(x.reshape(size, parts, *x.shape[1:]), 1, 0)
    y = jax.lax.map(jax.checkpoint(function, prevent_cse=False), taken)
    return jnp.moveaxis(y, 0, 1).reshape(parts * size, *y.shape[2:])[:n]


def _products(seen: list[jax.Array], w: jax.Array, groups: int, precision: Any, dtype: Any) -> jax.Array:
    """What each tap sees, times w; of groups, one product for each."""
    *kernel, inputs, outputs = w.shape
    if groups == 1:
        rows, matrix = jnp.concatenate(seen, axis=-1), w.reshape(-1, outputs)
        return jax.lax.dot_general(rows, matrix, (((rows.ndim - 1,), (0,)), ((), ())), precision, dtype)
    parts = [part.reshape(*part.shape[:-1], groups, inputs) for part in seen]
    rows = jnp.moveaxis(jnp.concatenate(parts, axis=-1), -2, 0)  # (groups, n, *places, taps in / groups)
    matrices = jnp.moveaxis(w.reshape(math.prod(kernel) * inputs, groups, outputs // groups), 1, 0)
    product = jax.lax.dot_general(rows, matrices, (((rows.ndim - 1,), (1,)), ((0,), (0,))), precision, dtype)
    y = jnp.moveaxis(product, 0, -2)
    return y.reshape(*y.shape[:-2], outputs)
