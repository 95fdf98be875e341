"""Embeddings: a vector for each token, and for each position of a sequence."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import model
from gdjax.domain import classes, whole_numbers, within
from gdjax.models.initializers import Init, Initializer, Parameter, normal, of_table
from gdjax.models.layers import check_size
from gdjax.models.padding import layer_of_sequences, numbers_of_positions

KINDS = ("sinusoidal", "learned")


@model(static=("vocabulary", "width"))
def embedding(vocabulary: int, width: int, weights: Initializer | None = None):
    """A vector for each token: row x of a table.

        y = w[x]            x (...) int in [0, vocabulary) -> y (..., width);   params {"w": (vocabulary, width)}

    Args:
        vocabulary: the number of tokens, at least 1.
        width: of a vector, at least 1.
        weights: initializer of w (default: `normal(0.02)`, as in GPT-2).

    Raises: ValueError if a size is not a positive int, or x is outside (NaN where it is traced), TypeError if x are no
        integers.

    >>> print(gd.models.embedding(3, 2).apply({"w": jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])}, jnp.array([2, 0])))
    [[5. 6.]
     [1. 2.]]
    """
    check_size("embedding", "vocabulary", vocabulary)
    check_size("embedding", "width", width)
    parameter = Parameter((vocabulary, width), of_table(normal(0.02) if weights is None else weights))
    apply = lambda params, x, mask, key: look_up("embedding", params["w"], x)  # noqa: E731
    return Init({"w": parameter}), layer_of_sequences("embedding", apply)


def look_up(who: str, table: jax.Array, tokens: Any) -> jax.Array:
    """table[tokens], NaN for what is no token. Raises: ValueError for one that is concrete."""
    given, tokens = tokens, whole_numbers(tokens)
    if not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise TypeError(f"{who}: tokens must be integers, got {tokens.dtype}")
    valid = within(who, "tokens", given, classes(len(table)))
    return jnp.asarray(table)[jnp.clip(tokens, 0, len(table) - 1)] * valid[..., None].astype(table.dtype)


@model(static=("width", "context", "kind"))
def positions(width: int, context: int | None = None, kind: str = "sinusoidal", weights: Initializer | None = None):
    """What tells the places of a sequence apart: a vector for each is added.

        y_t = x_t + p_t                                     x (..., time, width) -> y (..., time, width)
        p_t[2i], p_t[2i + 1] = sin(t f_i), cos(t f_i)       sinusoidal, f_i = 10000^(-2i / width);   params ()
        p_t = w[t]                                          learned;   params {"w": (context, width)}

    Positions are counted from 0; padding is not counted.

    Args:
        width: features of x, at least 1.
        context: the longest time; needed if kind is "learned".
        kind: "sinusoidal" or "learned".
        weights: initializer of w (default: `normal(0.02)`, as in GPT-2).

    Raises: ValueError for another kind or size, or if x is longer or has another width.
    Reference: Vaswani et al. 2017, section 3.5, arXiv:1706.03762.

    >>> print(gd.models.positions(4).apply((), jnp.zeros((2, 4))))
    [[0. 1. 0. 1.]
     [0.84147 0.5403 0.0099998 0.99995]]
    """
    if kind not in KINDS:
        raise ValueError(f"positions: kind must be one of {', '.join(KINDS)}, got {kind!r}")
    check_size("positions", "width", width)
    if context is not None or kind == "learned":
        check_size("positions", "context", context)
    table = Parameter((context or 0, width), of_table(normal(0.02) if weights is None else weights))

    def apply(params, x, mask, key):
        check_sequence("positions", x, width, context)
        places = numbers_of_positions(x.shape[-2], mask)
        if kind == "learned":
            return x + jnp.asarray(params["w"])[places]
        return x + sinusoids(places, width).astype(x.dtype)

    return Init({"w": table} if kind == "learned" else ()), layer_of_sequences("positions", apply)


def sinusoids(places: jax.Array, width: int) -> jax.Array:
    """Sines and cosines of a geometric series of frequencies, alternating: (...) -> (..., width)."""
    frequencies = np.exp(np.arange(0, width, 2) * (-math.log(10_000) / width))
    angles = places[..., None] * jnp.asarray(frequencies, float)
    both = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return both.reshape(*places.shape, -1)[..., :width]


def check_sequence(who: str, x: jax.Array, width: int, context: int | None = None) -> None:
    """Raise ValueError unless x is (..., time, width), with time at least 1 and at most that of the context."""
    if x.ndim < 2 or x.shape[-1] != width:
        raise ValueError(f"{who}: x must be (..., time, {width}), got shape {x.shape}")
    if not x.shape[-2]:
        raise ValueError(f"{who}: a sequence must have at least one position, got none")
    if context is not None and x.shape[-2] > context:
        raise ValueError(f"{who}: a sequence must have at most {context} positions, got {x.shape[-2]}")
