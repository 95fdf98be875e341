"""The convolutional network: blocks that halve an image or a series, and dense layers on what they find."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gdjax.calls import Model, model
from gdjax.models import layers
from gdjax.models._mlp import default_weights
from gdjax.models.convolution import conv
from gdjax.models.geometry import per_axis
from gdjax.models.initializers import Initializer
from gdjax.models.layers import Activation, activation_function, check_size, dense, flatten, serial
from gdjax.models.normalization import batch_norm, layer_norm
from gdjax.models.pooling import max_pool

NORMS = {"layer": layer_norm, "batch": batch_norm}


@model(static=("shape", "out", "channels", "hidden", "kernel", "activation", "norm"), bounds={"dropout": "[0, 1)"})
def cnn(
    shape: Sequence[int],
    out: int | None,
    channels: Sequence[int] = (32, 64),
    hidden: Sequence[int] = (),
    kernel: int | Sequence[int] = 3,
    activation: str | Activation = "relu",
    norm: str | None = None,
    weights: Initializer | None = None,
    dropout=0.0,
):
    """A convolutional network for images or series.

        a_0 = x,   a_i = max_pool(f(norm(conv(a_{i-1}))))           each block halves every axis, rounded up
        h_0 = drop(flatten(a_k)),   h_j = drop(f(h_{j-1} w_j + b_j)),   y = h_m w + b
        x (..., *shape) -> y (..., out);   params as of `serial`: one entry for a layer, () where there is nothing to learn

    Args:
        shape: of one example: (height, width, channels) of an image, (length, channels) of a series.
        out: numbers for an example, at least 1; None for a single one, y (...).
        channels: of each block, at least one block.
        hidden: units of each dense layer between the blocks and the output.
        kernel: size of the windows of all convolutions, one number or one for each axis; they are padded with zeros.
        activation: f, a name in `ACTIVATIONS` or a function.
        norm: "layer" brings the channels of each place to mean 0 and variance 1, "batch" each channel over the batch, which
            gives the model a state; None leaves them as they are.
        weights: initializer of every w. None goes by the function that follows, as in `mlp`. Biases start at 0.
        dropout: in [0, 1), the probability that a feature of the last block or a hidden unit is silenced, where a key is
            given.

    Raises: ValueError if a size is not a positive int, there is no such activation or norm, or x has another
        shape.
    Reference: LeCun et al. 1998, "Gradient-based learning applied to document recognition".

    >>> model = gd.models.cnn((8, 8, 1), 10)
    >>> params = model.init(jax.random.key(0))
    >>> print(gd.summary(params).total, model.apply(params, jnp.zeros((5, 8, 8, 1))).shape)
    21386 (5, 10)
    """
    for name, sizes, least in (("shape", shape, 2), ("channels", channels, 1), ("hidden", hidden, 0)):
        _check_sizes(name, sizes, least)
    if len(shape) > 3:
        raise ValueError(f"cnn: shape must be (height, width, channels) or (length, channels), got {tuple(shape)}")
    if out is not None:
        check_size("cnn", "out", out)
    if norm is not None and norm not in NORMS:
        raise ValueError(f"cnn: norm must be 'layer', 'batch' or None, got {norm!r}")
    *space, units = shape
    sizes, halve = per_axis("cnn", "kernel", kernel, len(space)), max_pool((2,) * len(space), padding="SAME")
    f = activation_function("cnn", activation)
    act, drop = layers.activation(activation), layers.dropout(dropout)
    inner, last = (default_weights(g) if weights is None else weights for g in (f, layers.identity))
    parts: list[Model] = []
    for width in channels:
        normalize = [] if norm is None else [NORMS[norm](width)]
        parts += [conv(units, width, sizes, weights=inner), *normalize, act, halve]
        space, units = [-(-n // 2) for n in space], width
    parts += [flatten((*space, units)), drop]
    units *= math.prod(space)
    for width in hidden:
        parts += [dense(units, width, inner), act, drop]
        units = width
    return serial(*parts, dense(units, out, last)).build()


def _check_sizes(name: str, sizes: Any, least: int) -> None:
    if not isinstance(sizes, Sequence) or isinstance(sizes, str) or len(sizes) < least:
        raise ValueError(f"cnn: {name} must be a tuple of at least {least} positive ints, got {sizes!r}")
    for size in sizes:
        check_size("cnn", f"every size in {name}", size)
