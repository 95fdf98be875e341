"""Normalization: features brought to mean 0 and variance 1, then scaled and shifted as the model learns.

    y = (x - m) / sqrt(v + epsilon) * scale + b         params {"scale": (size,), "b": (size,)}

`layer_norm` and `rms_norm` take m and v over the features of one example, so that examples do not see each other.
`batch_norm` takes them over the batch, and has a state, the running statistics, for when there is none.
Features are the last axis. Moments are computed in float32 at least.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from gdjax.calls import model
from gdjax.models.initializers import Init, Parameter, ones, zeros
from gdjax.models.layers import check_size
from gdjax.models.padding import at_each_position
from gdjax.tree import arithmetic_dtype


@model(static=("size",), bounds={"epsilon": "(0, inf)"})
def layer_norm(size: int, epsilon=1e-6):
    """Every example's features to mean 0 and variance 1.

        y = (x - mean x) / sqrt(var x + epsilon) * scale + b        x (..., size) -> y (..., size)
        params {"scale": (size,), "b": (size,)}; mean and variance over the last axis

    Args:
        size: features of x, at least 1.
        epsilon: > 0, in units of x².

    Raises: ValueError if size is not a positive int, or x has another width.
    Differs from: torch.nn.LayerNorm, whose eps is 1e-5. This is that of Flax.
    Reference: Ba, Kiros & Hinton 2016, arXiv:1607.06450.

    >>> model = gd.models.layer_norm(2)
    >>> print(model.apply(model.init(jax.random.key(0)), jnp.array([1.0, 5.0])))
    [-1. 1.]
    """
    check_size("layer_norm", "size", size)

    def apply(params, x, key=None):
        x = _features("layer_norm", x, size)
        centered = _wide(x) - jnp.mean(_wide(x), -1, keepdims=True)
        return _affine(params, x, centered, jnp.mean(centered**2, -1, keepdims=True), epsilon)

    return Init(_parameters(size)), at_each_position("layer_norm", apply)


@model(static=("size",), bounds={"epsilon": "(0, inf)"})
def rms_norm(size: int, epsilon=1e-6):
    """Every example's features to a mean square of 1: layer norm without its center.

        y = x / sqrt(mean x² + epsilon) * scale             x (..., size) -> y (..., size)
        params {"scale": (size,)}; the mean over the last axis

    Args:
        size: features of x, at least 1.
        epsilon: > 0, in units of x².

    Raises: ValueError if size is not a positive int, or x has another width.
    Differs from: torch.nn.RMSNorm, whose eps is that of the dtype. This is that of Flax.
    Reference: Zhang & Sennrich 2019, arXiv:1910.07467.

    >>> model = gd.models.rms_norm(2)
    >>> print(model.apply(model.init(jax.random.key(0)), jnp.array([1.0, 7.0])))
    [0.2 1.4]
    """
    check_size("rms_norm", "size", size)

    def apply(params, x, key=None):
        x = _features("rms_norm", x, size)
        return _affine(params, x, _wide(x), jnp.mean(_wide(x) ** 2, -1, keepdims=True), epsilon)

    return Init({"scale": _parameters(size)["scale"]}), at_each_position("rms_norm", apply)


@model(static=("size",), bounds={"momentum": "[0, 1]", "epsilon": "(0, inf)"})
def batch_norm(size: int, momentum=0.9, epsilon=1e-5):
    """Every feature to mean 0 and variance 1 over the batch; a model with a state.

        y = (x - m) / sqrt(v + epsilon) * scale + b         x (B, ..., size) -> y (B, ..., size)
        params {"scale": (size,), "b": (size,)},   state {"mean": (size,), "var": (size,)}, at first 0 and 1

        with a key      m, v = sum_i w_i x_i / sum w,  sum_i w_i (x_i - m)² / sum w     over rows and inner axes
                        state <- momentum state + (1 - momentum) (m, v)
        without         m, v = the state, which stays; leading axes of x are free

    A row of weight 0 does not count. One position alone (of rows and inner axes) has no variance: where no more than one
    counts, the state is used and stays. Examples see each other, and in training all must be on hand: microbatches are
    normalized each by its own rows.

    Args:
        size: features of x, at least 1.
        momentum: in [0, 1], of the running statistics; of 0.9, what they started from is forgotten after 50 batches.
        epsilon: > 0, in units of x².

    Raises: ValueError if size is not a positive int, x has another width, or with a key no axis for rows, or weights
        are not one for each row.
    Differs from: torch.nn.BatchNorm1d, whose momentum is 1 - ours (0.1), and whose running variance is divided by n - 1;
        here both variances are biased, as in Flax, whose momentum is 0.99.
    Reference: Ioffe & Szegedy 2015, arXiv:1502.03167.

    >>> model = gd.models.batch_norm(1, momentum=0.5)
    >>> params, state, x = model.init(jax.random.key(0)), model.init_state(), jnp.array([[1.0], [5.0]])
    >>> y, state = model.apply_with_state(params, state, x, key=jax.random.key(1))
    >>> print(y[:, 0], state["mean"], state["var"])
    [-1. 1.] [1.5] [2.5]
    """
    check_size("batch_norm", "size", size)

    def apply(params, state, x, key=None, weight=None):
        x = _features("batch_norm", x, size)
        if key is None:
            return _affine(params, x, _wide(x) - state["mean"], state["var"], epsilon), state
        moments = _moments(x, weight, state)
        y = _affine(params, x, _wide(x) - moments["mean"], moments["var"], epsilon)
        move = lambda old, new: jnp.asarray(old + (1 - momentum) * (new - old), old.dtype)  # noqa: E731
        return y, jax.tree.map(move, state, moments)

    return Init(_parameters(size)), apply, lambda: {"mean": jnp.zeros(size), "var": jnp.ones(size)}


def _parameters(size: int) -> dict[str, Parameter]:
    return {"scale": Parameter((size,), ones()), "b": Parameter((size,), zeros())}


def _features(who: str, x: Any, size: int) -> jax.Array:
    x = jnp.asarray(x)
    if x.shape[-1:] != (size,):
        raise ValueError(f"{who}: x must have {size} features, got shape {x.shape}")
    return x


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(arithmetic_dtype(x))


def _affine(params: Any, x: jax.Array, centered: jax.Array, variance: jax.Array, epsilon: Any) -> jax.Array:
    """centered / sqrt(variance + epsilon) * scale + b, in the dtype of x and the parameters."""
    y = centered * jax.lax.rsqrt(variance + epsilon) * params["scale"]
    y = y + params["b"] if "b" in params else y
    return y.astype(jnp.result_type(x, params["scale"]))


def _moments(x: jax.Array, weight: Any, state: Any) -> dict[str, jax.Array]:
    """The mean and the variance of every feature, rows by their weights; the state where at most one position counts."""
    if x.ndim < 2:
        raise ValueError(f"batch_norm: with a key x must be a batch, (B, ..., {x.shape[-1]}), got shape {x.shape}")
    if weight is not None and jnp.shape(weight) != x.shape[:1]:
        raise ValueError(f"batch_norm: weight must have shape {x.shape[:1]}, got {jnp.shape(weight)}")
    x, axes = _wide(x), tuple(range(x.ndim - 1))
    inner = axes[1:]
    if x.size <= x.shape[-1]:
        return state
    if weight is None:
        mean = jnp.mean(x, axes)
        return {"mean": mean, "var": jnp.mean((x - mean) ** 2, axes)}
    weight = jnp.expand_dims(jnp.asarray(weight, x.dtype), (*inner, x.ndim - 1))
    several = jnp.sum(weight != 0) * math.prod(x.shape[1:-1]) > 1
    x, total = jnp.where(weight != 0, x, 0), jnp.sum(weight)  # a row that does not count may hold NaN
    share = weight / jnp.where(total == 0, 1, total)
    mean = jnp.sum(share * jnp.mean(x, inner, keepdims=True), axes)
    variance = jnp.sum(share * jnp.mean((x - mean) ** 2, inner, keepdims=True), axes)
    return {"mean": jnp.where(several, mean, state["mean"]), "var": jnp.where(several, variance, state["var"])}
