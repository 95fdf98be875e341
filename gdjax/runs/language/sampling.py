"""Text that a model continues, unit by unit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import Model
from gdjax.data import Vocabulary
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
    """The units after these, (length,) int32, for any causal model: each step reads the last `context` units again."""
    last = tokens[-context:]
    window = np.zeros(context, np.int32)
    window[: len(last)] = last
    program = compile_once(bind(_draw_all, model, steps=-(-length // BLOCK) * BLOCK))
    return np.asarray(program(params, window, np.int32(len(last)), np.float32(temperature), key))[:length]


def _draw_all(
    model: Model, params: Any, window: jax.Array, filled: jax.Array, temperature: jax.Array, key: jax.Array, steps: int
) -> jax.Array:
    def step(carry: tuple[jax.Array, jax.Array], i: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        window, filled = carry
        logits = model.apply(params, window)[filled - 1]
        token = draw(logits, temperature, jax.random.fold_in(key, i))
        full = filled == len(window)
        window = jnp.where(full, jnp.roll(window, -1), window).at[jnp.where(full, filled - 1, filled)].set(token)
        return (window, jnp.minimum(filled + 1, len(window))), token

    return jax.lax.scan(step, (window, filled), jnp.arange(steps))[1]


def draw(logits: jax.Array, temperature: jax.Array, key: jax.Array) -> jax.Array:
    """A unit from softmax(logits / temperature); the likeliest at temperature 0."""
    noise = jax.random.gumbel(key, logits.shape, logits.dtype)
    return jnp.argmax(logits + temperature * noise, -1).astype(jnp.int32)
