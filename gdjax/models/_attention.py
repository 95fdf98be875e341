"""Multi-head attention: each position reads from those that it attends to."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from gdjax.calls import model
from gdjax.models._embedding import check_sequence
from gdjax.models.initializers import Init, Initializer, Parameter, by_part, lecun_normal, zeros
from gdjax.models.layers import check_size
from gdjax.models.padding import layer_of_sequences


@model(static=("width", "heads", "causal"))
def attention(width: int, heads: int, causal: bool = True, weights: Initializer | None = None):
    """Multi-head self-attention.

        q, k, v = x w_qkv + b_qkv                            each (..., time, heads, d),  d = width / heads
        y = concat_h(softmax(q_h k_h.T / sqrt(d)) v_h) w_out + b_out                      x (..., time, width) -> y likewise
        params {"qkv": {"w": (width, 3 width), "b": (3 width,)}, "out": {"w": (width, width), "b": (width,)}}

    If causal, position t attends to positions up to t only, so that later ones have no influence on it. Nothing attends to
    padding. Columns of w_qkv are ordered as (q, k, v), then head, then feature. The scores are at least float32.

    Args:
        width: features of x, a multiple of heads.
        heads: at least 1.
        causal: whether a position attends only to itself and to those before it.
        weights: initializer of w_q, w_k, w_v and w_out (default: `lecun_normal()`). Biases start at 0.

    Memory: the scores of a sequence, heads x time x time.
    Raises: ValueError if heads do not divide the width, or x has another width.
    Reference: Vaswani et al. 2017, section 3.2, arXiv:1706.03762.

    >>> params = {"qkv": {"w": jnp.eye(2, 6, 4), "b": jnp.zeros(6)}, "out": {"w": jnp.eye(2), "b": jnp.zeros(2)}}
    >>> print(gd.models.attention(2, 1).apply(params, jnp.array([[4.0, 2.0], [2.0, 0.0]])))  # q = k = 0: the mean so far
    [[4. 2.]
     [3. 1.]]
    """
    check_heads("attention", width, heads)

    def apply(params, x, mask, key):
        check_sequence("attention", x, width)
        q, k, v = project(params["qkv"], x, heads)
        return merge(params["out"], attend(q, k, v, allowed(x.shape[-2], causal, mask)))

    return Init(declare(width, *[lecun_normal() if weights is None else weights] * 2)), layer_of_sequences(
        "attention", apply
    )


def check_heads(who: str, width: int, heads: int) -> None:
    check_size(who, "width", width)
    check_size(who, "heads", heads)
    if width % heads:
        raise ValueError(f"{who}: width must be a multiple of heads, got width {width} and {heads} heads")


def declare(width: int, weights: Initializer, out: Initializer) -> dict[str, dict[str, Parameter]]:
    """The declared parameters of an attention."""
    return {
        "qkv": {"w": Parameter((width, 3 * width), by_part(weights, 3)), "b": Parameter((3 * width,), zeros())},
        "out": {"w": Parameter((width, width), out), "b": Parameter((width,), zeros())},
    }


def project(params: dict[str, jax.Array], x: jax.Array, heads: int) -> list[jax.Array]:
    """Queries, keys and values, each (..., time, heads, width / heads)."""
    parts = jnp.split(x @ params["w"] + params["b"], 3, axis=-1)
    return [part.reshape(*part.shape[:-1], heads, part.shape[-1] // heads) for part in parts]


def merge(params: dict[str, jax.Array], y: jax.Array) -> jax.Array:
    """(..., time, heads, width / heads) -> (..., time, width), by the last projection."""
    return y.reshape(*y.shape[:-2], y.shape[-2] * y.shape[-1]) @ params["w"] + params["b"]


def allowed(length: int, causal: bool, mask: jax.Array | None) -> jax.Array | None:
    """Which position attends to which, broadcast to (..., heads, time, time) bool; None if each to all."""
    past = jnp.tril(jnp.ones((length, length), bool)) if causal else None
    if mask is None:
        return past
    counts = mask[..., None, None, :]
    return counts if past is None else counts & past


def attend(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None) -> jax.Array:
    """softmax(q k.T / sqrt(d)) v of each head, (..., time, heads, d); the mask is broadcast to (..., heads, time, time).

    Two products on every device, and no fused kernel: `jax.nn.dot_product_attention` chooses none by itself (jax 0.12), and
    that of cuDNN, if asked for, cannot be traced where there is no GPU, not even as the choice for one. On CPU these two
    take a quarter less time than JAX's (64 positions, forward and backward), whose softmax is in float32 always.
    """
    wide = jnp.promote_types(q.dtype, jnp.float32)
    scores = jnp.einsum("...thd,...shd->...hts", q, k, preferred_element_type=wide) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = jnp.where(mask, scores, jnp.finfo(wide).min)
    return jnp.einsum("...hts,...shd->...thd", jax.nn.softmax(scores).astype(v.dtype), v)
