"""The transformer as a language model: causal attention and networks at each position, around a stream of vectors."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from gdjax.calls import Model, model
from gdjax.models._attention import allowed, attend, check_heads, declare, merge, project
from gdjax.models._embedding import check_sequence, look_up
from gdjax.models.initializers import Init, Initializer, Parameter, normal, of_table, zeros
from gdjax.models.layers import ACTIVATIONS, check_size, drop, split_key
from gdjax.models.normalization import layer_norm
from gdjax.models.padding import layer_of_sequences, numbers_of_positions


@model(static=("vocabulary", "context", "width", "layers", "heads", "tied", "remat"), bounds={"dropout": "[0, 1)"})
def transformer(
    vocabulary: int,
    context: int,
    width: int = 128,
    layers: int = 4,
    heads: int = 4,
    dropout=0.0,
    tied: bool = False,
    remat: bool = False,
    weights: Initializer | None = None,
):
    """A transformer that predicts the next token at each position (GPT-2's form).

        h = tokens[x_t] + positions[t]
        h = h + attention(norm_1(h)),   h = h + gelu(norm_2(h) w_up + b_up) w_down + b_down       in each block
        logits_t = norm(h) w_head                       x (..., time) int -> logits (..., time, vocabulary)
        params {"tokens": (vocabulary, width), "positions": (context, width), "blocks": (block_1, ..., block_k),
                "norm": {"scale", "b"}, "head": (width, vocabulary)}

    The logits at t depend on tokens up to t only. Of a `Padded` x they are `Padded` too, and positions are numbered by those
    that count. To sample from it, see `generate`.

    Args:
        vocabulary: the number of tokens, at least 1.
        context: the longest time, at least 1.
        width: of the stream, a multiple of heads; the networks' hidden layer is 4 times as wide.
        layers: blocks, at least 1.
        heads: of each attention, at least 1.
        dropout: in [0, 1), of the embeddings and of what each part adds to the stream, where a key is given.
        tied: whether w_head is the table of tokens, transposed; then params have no "head".
        remat: whether the backward pass computes each block again, instead of keeping what is inside (on CPU from jax 0.12
            on: before, XLA undoes it).
        weights: initializer of every matrix (default: `normal(0.02)`, for those that add to the stream
            `normal(0.02 / sqrt(2 layers))`, as in GPT-2). Biases start at 0.

    Memory: 12 layers width² numbers in blocks; for the backward pass the scores of a sequence, heads x time², of all blocks
        (with remat, of one).
    Raises: ValueError for another size, a longer sequence, or a token outside [0, vocabulary) (NaN where it is traced).
    Reference: Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2019 (GPT-2), section 2.3; the norm first, Xiong et al.
        2020, arXiv:2002.04745; tied, Press & Wolf 2017, arXiv:1608.05859.

    >>> model = gd.models.transformer(vocabulary=5, context=8, width=4, layers=1, heads=2)
    >>> params = model.init(jax.random.key(0))
    >>> print(gd.summary(params).total, model.apply(params, jnp.array([1, 2, 3])).shape)
    324 (3, 5)
    """
    check_size("transformer", "vocabulary", vocabulary)
    check_size("transformer", "context", context)
    check_size("transformer", "layers", layers)
    check_heads("transformer", width, heads)
    inner = normal(0.02) if weights is None else weights
    outer = normal(0.02 / math.sqrt(2 * layers)) if weights is None else weights
    declared = {
        "tokens": Parameter((vocabulary, width), of_table(inner)),
        "positions": Parameter((context, width), of_table(inner)),
        "blocks": tuple(_declare_block(width, inner, outer) for _ in range(layers)),
        "norm": _norm_of(width).build()[0].parameters,
        **({} if tied else {"head": Parameter((width, vocabulary), inner)}),
    }

    def apply(params, x, mask, key):
        check_sequence("transformer", x[..., None], 1, context)
        first, *keys = split_key(key, layers + 1)
        h = drop(embed(params, x, numbers_of_positions(x.shape[-1], mask)), dropout, first)
        attends = allowed(x.shape[-1], True, mask)
        block = lambda part, h, key: _block(part, h, attends, heads, dropout, key)  # noqa: E731
        for part, own_key in zip(blocks_of(layers, params), keys, strict=True):
            h = (jax.checkpoint(block) if remat else block)(part, h, own_key)
        return logits_of(params, h)

    return Init(declared), layer_of_sequences("transformer", apply)


def _declare_block(width: int, inner: Initializer, outer: Initializer) -> dict[str, Any]:
    return {
        "norm_1": _norm_of(width).build()[0].parameters,
        "attention": declare(width, inner, outer),
        "norm_2": _norm_of(width).build()[0].parameters,
        "up": {"w": Parameter((width, 4 * width), inner), "b": Parameter((4 * width,), zeros())},
        "down": {"w": Parameter((4 * width, width), outer), "b": Parameter((width,), zeros())},
    }


def blocks_of(layers: int, params: Any) -> Any:
    """The parameters of each block. Raises: ValueError if there are not as many as layers."""
    if len(params["blocks"]) != layers:
        raise ValueError(f"transformer: params must have {layers} blocks, got {len(params['blocks'])}")
    return params["blocks"]


def _norm_of(width: int) -> Model:
    return layer_norm(width, epsilon=1e-5)


def normalize(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """Layer norm, as everywhere in a transformer."""
    return _norm_of(x.shape[-1]).apply(params, x)


def _block(params: Any, h: jax.Array, attends: Any, heads: int, rate: Any, key: Any) -> jax.Array:
    """One block, in which positions attend as they are allowed to."""
    keys = split_key(key, 2)
    q, k, v = project(params["attention"]["qkv"], normalize(params["norm_1"], h), heads)
    h = h + drop(merge(params["attention"]["out"], attend(q, k, v, attends)), rate, keys[0])
    return h + drop(think(params, h), rate, keys[1])


def embed(params: Any, tokens: Any, places: jax.Array) -> jax.Array:
    """What enters the stream: the vectors of tokens and of their places, (..., time, width)."""
    return look_up("transformer", params["tokens"], tokens) + jnp.asarray(params["positions"])[places]


def think(params: Any, h: jax.Array) -> jax.Array:
    """What the network of a block adds to each position."""
    up, down = params["up"], params["down"]
    return ACTIVATIONS["gelu"](normalize(params["norm_2"], h) @ up["w"] + up["b"]) @ down["w"] + down["b"]


def logits_of(params: Any, h: jax.Array) -> jax.Array:
    """(..., width) -> (..., vocabulary)."""
    h = normalize(params["norm"], h)
    return h @ params["head"] if "head" in params else h @ params["tokens"].T
