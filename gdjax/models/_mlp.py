"""The multi-layer perceptron: linear maps with an activation between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gdjax.calls import model
from gdjax.models.initializers import Initializer, he_normal, jointly, lecun_normal, xavier_normal
from gdjax.models.layers import (
    ACTIVATIONS,
    Activation,
    activation_function,
    affine,
    check_size,
    drop,
    split_key,
)
from gdjax.models.padding import at_each_position

RECTIFIERS = ("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "softplus")


@model(static=("sizes", "activation", "output"), bounds={"dropout": "[0, 1)"})
def mlp(
    sizes: Sequence[Any],
    activation: str | Activation = "relu",
    output: str | Activation = "identity",
    weights: Initializer | None = None,
    dropout=0.0,
):
    """A multi-layer perceptron.

        a_0 = x,   a_i = f(a_{i-1} w_i + b_i),   y = output(a_{k-1} w_k + b_k)     x (..., in) -> y (..., out)
        params ({"w": (in, h_1), "b": (h_1,)}, ..., {"w": (h_{k-1}, out), "b": (out,)})

    `params[i]` is layer i + 1 of the lectures, with w = W.T (see `dense`). For classes leave the output as it
    is: the losses take logits.

    Args:
        sizes: (in, hidden..., out), each at least 1. An out of None gives one number per example, y (...),
            from w_k (h_{k-1}, 1) and b_k (1,).
        activation: f of the hidden units, a name in `ACTIVATIONS` or a function.
        output: the function of the output units, likewise.
        weights: initializer of every w. None goes by the function that follows: He for ReLU and its smooth
            kin, LeCun for SELU, Xavier for all others. Biases start at 0.
        dropout: in [0, 1), the probability that a hidden unit is silenced, where a key is given.

    Raises: ValueError if a size is not a positive int, there is no such activation, or x has another width.
    Reference: Rumelhart, Hinton & Williams 1986.

    >>> model = gd.models.mlp((2, 3, 1))
    >>> params = model.init(jax.random.key(0))
    >>> print(model, gd.summary(params).total, model.apply(params, jnp.zeros(2)))
    mlp((2, 3, 1)) 13 [0.]
    """
    _check_sizes(sizes)
    hidden = [activation_function("mlp", activation)] * (len(sizes) - 2)
    functions = [*hidden, activation_function("mlp", output)]
    pairs = [
        affine("mlp", size, next_size, default_weights(function) if weights is None else weights)
        for size, next_size, function in zip(sizes[:-1], sizes[1:], functions, strict=True)
    ]

    def apply(params, x, key=None):
        rates = [dropout] * len(hidden) + [0]
        keys = split_key(key, len(pairs))
        for (_, layer), f, part, rate, own_key in zip(pairs, functions, params, rates, keys, strict=True):
            x = drop(f(layer(part, x)), rate, own_key)
        return x

    return jointly([init for init, _ in pairs]), at_each_position("mlp", apply)


def default_weights(function: Activation) -> Initializer:
    """The default initializer of a layer that is followed by this activation."""
    if any(function is ACTIVATIONS[name] for name in RECTIFIERS):
        return he_normal()
    return lecun_normal() if function is ACTIVATIONS["selu"] else xavier_normal()


def _check_sizes(sizes: Any) -> None:
    if not isinstance(sizes, Sequence) or len(sizes) < 2:
        raise ValueError(f"mlp: sizes must be (in, hidden..., out), got {sizes!r}")
    for size in sizes[:-1] if sizes[-1] is None else sizes:
        check_size("mlp", "every size", size)
