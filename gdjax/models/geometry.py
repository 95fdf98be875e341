"""The geometry of convolution and pooling: sizes, strides and padding of a window over an image or a series."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import jax

from gdjax.models.layers import check_size
from gdjax.patches import Window


def check_window(who: str, name: str, sizes: Any) -> tuple[int, ...]:
    """The sizes of a window, of a series or of an image. Raises: ValueError for anything else."""
    if not isinstance(sizes, Sequence) or isinstance(sizes, str) or len(sizes) not in (1, 2):
        raise ValueError(f"{who}: {name} must be (length,) for series or (height, width) for images, got {sizes!r}")
    for size in sizes:
        check_size(who, f"every size in {name}", size)
    return tuple(sizes)


def per_axis(who: str, name: str, value: Any, axes: int) -> tuple[int, ...]:
    """A positive int for each axis, from one for all or a tuple."""
    values: tuple[Any, ...] = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    if len(values) != axes:
        raise ValueError(f"{who}: {name} must be an int or {axes} of them, one for each axis, got {value!r}")
    for each in values:
        check_size(who, name, each)
    return values


def check_padding(who: str, padding: Any, axes: int) -> None:
    """Raise ValueError unless padding is "SAME", "VALID" or a pair (before, after) for each axis."""
    if isinstance(padding, str) and padding in ("SAME", "VALID"):
        return
    words = f"{who}: padding must be 'SAME', 'VALID' or {axes} (before, after), one for each axis, got {padding!r}"
    if not isinstance(padding, Sequence) or isinstance(padding, str) or len(padding) != axes:
        raise ValueError(words)
    for pair in padding:
        if not isinstance(pair, Sequence) or len(pair) != 2 or not all(map(_is_count, pair)):
            raise ValueError(words)


def _is_count(x: Any) -> bool:
    return isinstance(x, numbers.Integral) and not isinstance(x, bool) and int(x) >= 0


def window_over(
    who: str, x: jax.Array, sizes: tuple[int, ...], strides: Any, padding: Any, dilation: Any = 1
) -> Window:
    """The window over x (..., *space, channels). Raises: ValueError if x is too small for it.

    "SAME" pads as TensorFlow and Flax do: ceil(n / stride) places, and where the padding is odd one more zero at the end.
    """
    axes = len(sizes)
    space, strides = x.shape[-1 - axes : -1], per_axis(who, "stride", strides, axes)
    dilation = per_axis(who, "dilation", dilation, axes)
    spans = [(size - 1) * each + 1 for size, each in zip(sizes, dilation, strict=True)]
    if padding == "VALID":
        pairs = ((0, 0),) * axes
    elif padding == "SAME":
        needed = [
            max(0, (-(-n // stride) - 1) * stride + span - n)
            for n, stride, span in zip(space, strides, spans, strict=True)
        ]
        pairs = tuple((total // 2, total - total // 2) for total in needed)
    else:
        pairs = tuple((int(low), int(high)) for low, high in padding)
    window = Window(sizes, strides, pairs, dilation, (1,) * axes)
    if 0 in window.places(space):
        raise ValueError(f"{who}: x must be at least as large as the window {tuple(spans)}, got shape {x.shape}")
    return window
