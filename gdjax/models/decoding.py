"""Decoding: a transformer continues a text, token by token, without computing again what it has computed.

    logits, cache = prefill(model, params, prompt)              all logits of a prompt, and its keys and values
    logits, cache = decode(model, params, cache, token)         those after one token more
    tokens = generate(model, params, prompt, number, key)       the loop of both, compiled as one scan

All are pure functions, and equal to the model's own forward pass but for rounding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax.calls import Model, check_interval, is_concrete
from gdjax.domain import as_length, classes, within
from gdjax.models._attention import attend, merge, project
from gdjax.models._transformer import blocks_of, embed, logits_of, normalize, think
from gdjax.programs import bind, compile_once
from gdjax.types import Params, PRNGKey


class Cache(NamedTuple):
    """The keys and values of all positions so far.

    blocks: of each block (keys, values), each (..., context, heads, width / heads), zeros beyond the length.
    length: () int32.
    """

    blocks: tuple[tuple[jax.Array, jax.Array], ...]
    length: jax.Array


def prefill(model: Model, params: Params, prompt: Any) -> tuple[jax.Array, Cache]:
    """The logits at every position of a prompt, and the cache from which `decode` goes on.

    Args:
        model: a `transformer`.
        prompt: (..., time) int, at most as long as the context.

    Shapes: logits (..., time, vocabulary).   Raises: ValueError for a prompt that is empty or longer than the context.

    >>> model = gd.models.transformer(vocabulary=5, context=8, width=4, layers=1, heads=2)
    >>> logits, cache = gd.models.prefill(model, model.init(jax.random.key(0)), jnp.array([1, 2, 3]))
    >>> print(logits.shape, cache.length)
    (3, 5) 3
    """
    prompt = _prompt("prefill", model, prompt)
    if prompt.shape[-1] > model.context:
        raise ValueError(f"prefill: a prompt must have at most {model.context} tokens, got {prompt.shape[-1]}")
    dtype = jax.eval_shape(model.apply, params, prompt).dtype
    empty = jnp.zeros((*prompt.shape[:-1], model.context, model.heads, model.width // model.heads), dtype)
    return _advance(model, params, Cache(((empty, empty),) * model.layers, jnp.int32(0)), prompt)


def decode(model: Model, params: Params, cache: Cache, token: Any) -> tuple[jax.Array, Cache]:
    """The logits after one token more, and the cache with it.

    Args:
        model: a `transformer`.
        cache: of `prefill` or `decode`. If it holds a whole context there is no place for the token, and the logits are NaN
            (see `generate` for what to do then).
        token: (...) int.

    Shapes: logits (..., vocabulary).

    >>> model = gd.models.transformer(vocabulary=5, context=8, width=4, layers=1, heads=2)
    >>> params = model.init(jax.random.key(0))
    >>> logits, cache = gd.models.decode(model, params, gd.models.prefill(model, params, jnp.array([1, 2]))[1], 3)
    >>> print(logits.shape, cache.length)
    (5,) 3
    """
    logits, cache = _advance(model, params, cache, jnp.asarray(token)[..., None])
    return logits[..., 0, :], cache


def _advance(model: Model, params: Params, cache: Cache, tokens: jax.Array) -> tuple[jax.Array, Cache]:
    """The logits of some tokens more, (..., time, vocabulary), and the cache with them."""
    places = cache.length + jnp.arange(tokens.shape[-1])
    attends = jnp.arange(model.context) <= places[:, None]
    h, blocks = embed(params, tokens, places), []
    for part, past in zip(blocks_of(model.layers, params), cache.blocks, strict=True):
        q, *new = project(part["attention"]["qkv"], normalize(part["norm_1"], h), model.heads)
        keys, values = (
            jax.lax.dynamic_update_slice_in_dim(old, x, cache.length, -3) for old, x in zip(past, new, strict=True)
        )
        h = h + merge(part["attention"]["out"], attend(q, keys, values, attends))
        h = h + think(part, h)
        blocks.append((keys, values))
    logits = jnp.where(places[:, None] < model.context, logits_of(params, h), jnp.nan)
    return logits, Cache(tuple(blocks), cache.length + tokens.shape[-1])


def generate(
    model: Model, params: Params, prompt: Any, number: int, key: PRNGKey = 0, temperature: Any = 1.0
) -> jax.Array:
    """A continuation of a prompt, each token drawn by its probability.

        x_{t+1} ~ softmax(logits_t / temperature)

    The whole is one compiled scan. While prompt and continuation fit in the context, a token costs one step with the cache.
    Beyond, the window slides: each token is drawn given the last `context` tokens, as if there were no others. Every one of
    them has another position then, so nothing in the cache is right, and a token costs a forward pass of the window.

    Args:
        model: a `transformer`.
        prompt: (..., time) int, at least one token; of one that is longer than the context the end is read.
        number: of tokens to draw, at least 1; each number and each length of a prompt is compiled once.
        key: a JAX key or an integer seed.
        temperature: >= 0; below 1 likely tokens become more likely, and at 0 the likeliest is taken.

    Shapes: tokens (..., number) int32.
    Raises: TypeError if the model is no transformer, ValueError for another number or temperature, a prompt that is empty or
        holds what is no token, or parameters of another number of layers.

    >>> model = gd.models.transformer(vocabulary=5, context=4, width=4, layers=1, heads=2)
    >>> print(gd.models.generate(model, model.init(jax.random.key(0)), jnp.array([1, 2, 3]), 6, temperature=0.0).shape)
    (6,)
    """
    number = as_length("generate", "number", number)
    check_interval("generate", "temperature", temperature, "[0, inf)")
    prompt = _prompt("generate", model, prompt)[..., -model.context :]
    key = key if isinstance(key, jax.Array) else jax.random.key(key)
    return compile_once(bind(_generate, number))(model, params, prompt, key, jnp.asarray(temperature, jnp.float32))


def _prompt(who: str, model: Any, prompt: Any) -> jax.Array:
    if not isinstance(model, Model) or model.recipe.name != "transformer":
        raise TypeError(f"{who}: model must be a transformer, got {model!r}")
    prompt = jnp.asarray(prompt)
    if not prompt.ndim or not prompt.shape[-1]:
        raise ValueError(f"{who}: a prompt must be (..., time) with at least one token, got shape {prompt.shape}")
    if is_concrete(prompt):  # else what is no token gives NaN, which no draw shows
        within(who, "tokens", prompt, classes(model.vocabulary))
    return prompt


def _generate(number: int, model: Model, params: Params, prompt: jax.Array, key: jax.Array, temperature: Any) -> Any:
    context = model.context
    room = [(0, 0)] * (prompt.ndim - 1) + [(0, context - prompt.shape[-1])]
    logits, cache = prefill(model, params, prompt)

    def move(carry, key):
        logits, cache, window = carry
        token = draw(key, logits, temperature)
        is_full = cache.length >= context
        window = jnp.where(is_full, jnp.roll(window, -1, axis=-1), window)
        window = window.at[..., jnp.minimum(cache.length, context - 1)].set(token)
        slide = lambda: (model.apply(params, window)[..., -1, :], cache)  # noqa: E731
        logits, cache = jax.lax.cond(is_full, slide, lambda: decode(model, params, cache, token))
        return (logits, cache, window), token

    start = logits[..., -1, :], cache, jnp.pad(prompt, room).astype(jnp.int32)
    _, tokens = jax.lax.scan(move, start, jax.random.split(key, number))
    return jnp.moveaxis(tokens, 0, -1)


def draw(key: jax.Array, logits: jax.Array, temperature: Any) -> jax.Array:
    """A token by softmax(logits / temperature), (...) int32; the likeliest at temperature 0."""
    is_cold = temperature == 0
    warm = jax.random.categorical(key, logits / jnp.where(is_cold, 1, temperature))
    return jnp.where(is_cold, jnp.argmax(logits, axis=-1), warm).astype(jnp.int32)
