"""Text that a model continues, unit by unit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import Model
from gdjax.data import Vocabulary
from gdjax.models import generate
from gdjax.models.decoding import draw
from gdjax.programs import bind, compile_once

LENGTH, TEMPERATURE = 500, 0.8
LONGEST = 1_000_000  # units of a sample
BLOCK = 128  # of which lengths are multiples, so that most share a program


def sample(
    model: Model,
    params: Any,
    vocabulary: Vocabulary,
    context: int,
    prompt: str = "",
    length: int = LENGTH,
    temperature: float = TEMPERATURE,
    seed: int = 0,
) -> str:
    """The prompt, and so many units after it, each drawn from softmax(logits / temperature).

    Args:
        context: units that the model sees at most.
        prompt: "" begins with a line's end, or with the first unit of the vocabulary where it has none.
        temperature: at least 0; 0 takes the likeliest.

    Raises: ValueError, in one line, for a prompt that has what the vocabulary lacks, or a number out of range.
    """
    check(length, temperature, seed)
    first = vocabulary.encode(prompt or ("\n" if ord("\n") in vocabulary.codes else chr(vocabulary.codes[0])))
    drawn = extend(model, params, context, first, length, temperature, jax.random.key(seed))
    return prompt + vocabulary.decode(drawn)


def check(length: int, temperature: float, seed: int) -> None:
    """Raise ValueError for a number that is out of range."""
    if not 1 <= length <= LONGEST:
        raise ValueError(f"`length` must be from 1 to {LONGEST:,}, got {length}")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"`temperature` must be at least 0 and finite, got {temperature:g}")
    if seed < 0:
        raise ValueError(f"`seed` must be at least 0, got {seed}")


def extend(
    model: Model, params: Any, context: int, tokens: np.ndarray, length: int, temperature: float, key: jax.Array
) -> np.ndarray:
    """The units after these, (length,) int32: of a transformer with its cache of keys and values."""
    number = -(-length // BLOCK) * BLOCK
    if model.recipe.name == "transformer":
        return np.asarray(generate(model, params, tokens, number, key, temperature))[:length]
    last = tokens[-context:]
    window = np.pad(last, (0, context - len(last)))
    program = compile_once(bind(_read_again, model, number))
    return np.asarray(program(params, window, np.int32(len(last)), np.float32(temperature), key))[:length]


def _read_again(
    model: Model, number: int, params: Any, window: jax.Array, filled: jax.Array, temperature: jax.Array, key: jax.Array
) -> jax.Array:
    """Units of any causal model: at each step it reads the last ones, as many as the context has, again."""

    def move(carry: tuple[jax.Array, jax.Array], key: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        window, filled = carry
        token = draw(key, model.apply(params, window)[filled - 1], temperature)
        is_full = filled == len(window)
        window = jnp.where(is_full, jnp.roll(window, -1), window).at[jnp.where(is_full, -1, filled)].set(token)
        return (window, jnp.minimum(filled + 1, len(window))), token

    return jax.lax.scan(move, (window, filled), jax.random.split(key, number))[1]
