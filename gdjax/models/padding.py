"""Padding: which positions of a sequence count, said once, and handed on from layer to layer.

Sequences of several lengths are one array if the shorter are padded. Then x is `Padded(values, mask)`, with a mask that is
true where a position counts, and

    a layer of sequences     reads the mask: no position attends to padding, and padding leaves a state as it is
    one of single positions  (dense, activation, dropout, layer norm) acts on the values, and hands the mask on
    any other                (a convolution, batch norm) turns it down
    the loss                 is `per_token`, in which padding does not count

Layers read zeros where there is padding, so that nothing there has an influence on the rest, to the last bit; of a longer
padding the sums are longer, so that the rest may change by rounding. Positions are numbered by those that count, so that
it is the same to pad before a sequence and after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.text import listing
from gdjax.types import Padded

Layer = Callable[..., Any]


def padded(sequences: Sequence[Any], length: int | None = None) -> Padded:
    """Sequences of several lengths as one, with zeros after each.

    Args:
        sequences: arrays (time_i, ...) that differ in the first axis only.
        length: the time axis of the result (default: that of the longest).

    Raises: ValueError if there is none, one is longer, or they differ in another axis.

    >>> print(gd.models.padded([[1, 2], [3]]).values, gd.models.padded([[1, 2], [3]]).mask)
    [[1 2]
     [3 0]] [[ True  True]
     [ True False]]
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    shapes = [x.shape for x in arrays]
    if () in shapes or len({shape[1:] for shape in shapes}) > 1:
        raise ValueError(
            f"padded: sequences must be (time, ...), alike but in time, got shapes {listing([str(each) for each in shapes])}"
        )
    longest = max((len(x) for x in arrays), default=0)
    length = longest if length is None else length
    if not arrays or longest > length:
        raise ValueError(f"padded: there must be sequences of at most {length} positions, got {longest or 'none'}")
    ends = [[(0, length - len(x)), *[(0, 0)] * (x.ndim - 1)] for x in arrays]
    values = np.stack([np.pad(x, end) for x, end in zip(arrays, ends, strict=True)])
    return Padded(values, np.arange(length) < np.array([[len(x)] for x in arrays]))


def unpad(who: str, x: Any) -> tuple[jax.Array, jax.Array | None]:
    """The values of a sequence, 0 where there is padding, and its mask; of an array itself, and None."""
    if not isinstance(x, Padded):
        return jnp.asarray(x), None
    values, mask = jnp.asarray(x.values), jnp.asarray(x.mask)
    if mask.dtype != bool or mask.ndim > values.ndim or mask.shape != values.shape[: mask.ndim]:
        expected = f"bool (..., time) as the values {values.shape}"
        raise ValueError(f"{who}: the mask of a sequence must be {expected}, got {mask.dtype} {mask.shape}")
    return jnp.where(jnp.expand_dims(mask, tuple(range(mask.ndim, values.ndim))), values, 0), mask


def layer_of_sequences(who: str, apply: Callable[..., jax.Array]) -> Layer:
    """apply(params, values, mask or None, key) as a layer that takes an array or a `Padded`, and returns the like."""

    def layer(params, x, key=None):
        values, mask = unpad(who, x)
        y = apply(params, values, mask, key)
        return y if mask is None else Padded(y, mask)

    return layer


def at_each_position(who: str, apply: Layer) -> Layer:
    """A layer that acts on each position alone, as one of sequences: on the values, and the mask is handed on."""
    return layer_of_sequences(who, lambda params, values, mask, key: apply(params, values, key))


def numbers_of_positions(length: int, mask: jax.Array | None) -> jax.Array:
    """The number of each position among those that count, (..., time) int32 from 0."""
    if mask is None:
        return jnp.arange(length)
    return jnp.maximum(jnp.cumsum(mask, axis=-1, dtype=jnp.int32) - 1, 0)
