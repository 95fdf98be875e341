"""Augmentation as a layer: examples are changed at random where a key is given, and left alone without one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import is_concrete, model
from gdjax.data import augmentations
from gdjax.models.initializers import Init
from gdjax.models.layers import check_size


@model(
    static=("shape", "flip", "shift"),
    bounds={"crop": "(0, 1]", "noise": "[0, inf)"},
)
def augment(shape: Sequence[int], flip: bool = False, shift: int = 0, crop=1.0, noise=0.0):
    """Images or series changed at random while training: mirrored, cropped, moved, with noise, in this order.

        y = noise(shift(crop(flip(x))))     with a key, which each example has for itself     x (..., *shape) -> same shape
        y = x                               without                                           params ()

    It stands first in a `serial`; see `gdjax.data.augmentations` for what each does.

    Args:
        shape: of one example, (height, width, channels) or (length, channels).
        flip: whether examples are mirrored with probability 1/2.
        shift: >= 0, places along each axis, at most.
        crop: in (0, 1], the least share of each side in the window that is stretched to the whole; 1 for none.
        noise: >= 0, standard deviation, in units of x; 0 for none.

    Raises: ValueError outside these ranges, or if x does not end in shape.

    >>> model = gd.models.augment((3, 1), shift=1)
    >>> x = jnp.array([[1.0], [2.0], [3.0]])
    >>> print(model, model.apply((), x)[:, 0], model.apply((), x, jax.random.key(0))[:, 0])
    augment((3, 1), shift=1) [1. 2. 3.] [1. 1. 2.]
    """
    if not isinstance(shape, Sequence) or len(shape) not in (2, 3):
        raise ValueError(f"augment: shape must be (height, width, channels) or (length, channels), got {shape!r}")
    for size in shape:
        check_size("augment", "every size", size)
    if shift:
        check_size("augment", "shift", shift)
    changes: tuple[Callable[..., Any] | None, ...] = (
        augmentations.flip if flip else None,
        None if _is(crop, 1) else lambda key, x: augmentations.crop(key, x, crop),
        (lambda key, x: augmentations.shift(key, x, shift)) if shift else None,
        None if _is(noise, 0) else lambda key, x: augmentations.noise(key, x, noise),
    )

    def change(key, x):  # each has a key of its own, whatever the others: a traced crop of 1 draws as a concrete one
        for function, own in zip(changes, jax.random.split(key, len(changes)), strict=True):
            x = x if function is None else function(own, x)
        return x

    def apply(params, x, key=None):
        x = jnp.asarray(x)
        leading = x.shape[: max(0, x.ndim - len(shape))]
        if x.shape != (*leading, *shape):
            raise ValueError(f"augment: x must end in the axes {tuple(shape)}, got shape {x.shape}")
        if key is None or not any(changes):
            return x
        if not leading:
            return change(key, x)
        keys = jax.random.split(key, math.prod(leading))
        return jax.vmap(change)(keys, x.reshape(-1, *shape)).reshape(x.shape)

    return Init(()), apply


def _is(number: Any, value: float) -> bool:
    return is_concrete(number) and bool(np.all(np.asarray(number) == value))
