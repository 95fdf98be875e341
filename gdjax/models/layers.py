"""Layers: the smallest models, pairs (init, apply), and `serial`, which makes one model of many.

    init(key) -> params                   a pytree of arrays; () for a layer without parameters
    apply(params, x, key=None) -> y       random only if a key is given

Leading axes of x are free: x may be one example (in,), a batch (n, in), or (n, time, in). Sizes are static; numbers such as
a dropout rate are leaves of the model, so they can be swept.

`serial` draws all parameters at once: the `init` of a layer is an `Init`, which declares its parameters, and `serial`
combines these declarations into one `Init`. If the `init` of a layer is any other function, each layer gets its own key
instead.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import Model, is_concrete, model, of_parts, with_state
from gdjax.models.initializers import Init, Initializer, Parameter, jointly, lecun_normal, zeros
from gdjax.models.padding import at_each_position
from gdjax.text import did_you_mean
from gdjax.types import Params

Activation: TypeAlias = Callable[[jax.Array], jax.Array]


@model(static=("in_size", "out_size", "bias"))
def dense(in_size: int, out_size: int | None, weights: Initializer | None = None, bias: bool = True):
    """A fully connected layer: every output is a weighted sum of all inputs, plus a bias.

        y = x w + b         x (..., in) -> y (..., out);   params {"w": (in, out), "b": (out,)}

    The lectures write W x + b for a column x, with W (out, in). Here examples are rows, so that a batch is a
    matrix, and w is W transposed: set w = W.T to take over a lecture's matrix, read w.T to get one back.

    Args:
        in_size: features of x, at least 1.
        out_size: features of y, at least 1. None for one number per example: w (in, 1), b (1,), but y (...),
            so that no loss can broadcast (n, 1) against (n,).
        weights: initializer of w (default: `lecun_normal()`). The bias starts at 0.
        bias: whether there is a b.

    Raises: ValueError if a size is not a positive int, or x has another width.

    >>> print(gd.models.dense(2, 1).apply({"w": jnp.ones((2, 1)), "b": jnp.ones(1)}, jnp.array([2.0, 3.0])))
    [6.]
    """
    return affine("dense", in_size, out_size, lecun_normal() if weights is None else weights, bias)


def affine(
    who: str, in_size: int, out_size: int | None, weights: Initializer, bias: bool = True
) -> tuple[Callable[[jax.Array], Params], Callable[..., jax.Array]]:
    """(init, apply) of y = x w + b, with errors that name `who`; see `dense`."""
    check_size(who, "in_size", in_size)
    if out_size is not None:
        check_size(who, "out_size", out_size)
    width = 1 if out_size is None else out_size
    parameters = {"w": Parameter((in_size, width), weights)}
    if bias:
        parameters["b"] = Parameter((width,), zeros())

    def apply(params, x, key=None):
        x = jnp.asarray(x)
        if x.shape[-1:] != (in_size,):
            raise ValueError(f"{who}: x must have {in_size} features, got shape {x.shape}")
        y = x @ params["w"]
        if bias:
            y = y + params["b"]
        return y[..., 0] if out_size is None else y

    return Init(parameters), at_each_position(who, apply)


@model(static=("function",))
def activation(function: str | Activation):
    """A function of every unit; nothing to learn.

        y = f(x)            x (...) -> y (...);   params ()

    Args:
        function: a name in `ACTIVATIONS`, or a function of an array that keeps its shape. A name prints,
            reads back, compares and pickles; a function does as far as it can (two lambdas are never equal).

    Raises: ValueError if there is no such name.

    >>> print(gd.models.activation("relu").apply((), jnp.array([-1.0, 2.0])))
    [0. 2.]
    """
    f = activation_function("activation", function)
    init, apply = _leafless(lambda x, key: f(x))
    return init, at_each_position("activation", apply)


@model(bounds={"rate": "[0, 1)"})
def dropout(rate):
    """Silence each unit with probability `rate` while training; its mean stays what it was.

        y = x mask / (1 - rate),   mask ~ Bernoulli(1 - rate)     with a key       x (...) -> y (...)
        y = x                                                     without          params ()

    Args:
        rate: in [0, 1), the probability of a zero.

    Raises: ValueError if rate is outside [0, 1).
    Reference: Srivastava et al. 2014, JMLR 15, section 10 (scaled while training, not while testing).

    >>> print(gd.models.dropout(0.5).apply((), jnp.ones(4), jax.random.key(0)))
    [0. 0. 2. 2.]
    """
    init, apply = _leafless(lambda x, key: drop(x, rate, key))
    return init, at_each_position("dropout", apply)


def drop(x: jax.Array, rate: Any, key: jax.Array | None) -> jax.Array:
    """Dropout on an array; see `dropout`."""
    if key is None or (is_concrete(rate) and not np.asarray(rate).any()):
        return x
    mask = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(mask, x / (1 - rate), 0).astype(jnp.result_type(x, 0.0))


@model(static=("shape",))
def flatten(shape: tuple[int, ...]):
    """The axes of an example made one, for a dense layer to see.

        x (..., *shape) -> y (..., product of shape);   params ()

    Args:
        shape: of one example, e.g. (28, 28).

    Raises: ValueError if a size is not a positive int, or x does not end in shape.

    >>> print(gd.models.flatten((2, 2)).apply((), jnp.array([[1.0, 2.0], [3.0, 4.0]])))
    [1. 2. 3. 4.]
    """
    _check_shape("flatten", shape)
    return _leafless(lambda x, key: _reshape("flatten", x, tuple(shape), (math.prod(shape),)))


@model(static=("shape",))
def unflatten(shape: tuple[int, ...]):
    """The inverse of `flatten`: features in one row as an image or a series, the last axis first.

        x (..., product of shape) -> y (..., *shape);   params ()

    Args:
        shape: of one example, e.g. (28, 28, 1).

    Raises: ValueError if a size is not a positive int, or x has another number of features.

    >>> print(gd.models.unflatten((2, 2)).apply((), jnp.array([1.0, 2.0, 3.0, 4.0])))
    [[1. 2.]
     [3. 4.]]
    """
    _check_shape("unflatten", shape)
    return _leafless(lambda x, key: _reshape("unflatten", x, (math.prod(shape),), tuple(shape)))


def _check_shape(who: str, shape: tuple[int, ...]) -> None:
    if not isinstance(shape, Sequence):
        raise ValueError(f"{who}: shape must be a tuple of positive ints, got {shape!r}")
    for size in shape:
        check_size(who, "every size", size)


def _reshape(who: str, x: jax.Array, old: tuple[int, ...], new: tuple[int, ...]) -> jax.Array:
    """x (..., *old) as (..., *new)."""
    leading = x.shape[: max(0, x.ndim - len(old))]
    if x.shape != (*leading, *old):
        axes = f"the axes {old}" if len(old) != 1 else f"{old[0]} features"
        raise ValueError(f"{who}: x must end in {axes}, got shape {x.shape}")
    return x.reshape(*leading, *new)


@model
def serial(*models: Model):
    """Models one after the other.

        y = f_k(... f_2(f_1(x)))            params (params_1, ..., params_k), with () for a layer without

    Every layer gets a key of its own if a key is given. All layers' parameters come from one draw. If a layer has a state,
    so has the whole: (state_1, ..., state_k), with () for a layer without.

    Args:
        models: in the order in which x meets them.

    Raises: TypeError if one is not a model.

    >>> model = gd.models.serial(gd.models.flatten((2, 2)), gd.models.activation("relu"))
    >>> print(model.apply(((), ()), jnp.array([[1.0, -2.0], [3.0, -4.0]])))
    [1. 0. 3. 0.]
    """
    for i, each in enumerate(models):
        if not isinstance(each, Model):
            raise TypeError(f"serial: layer {i} must be a model, got {each!r} (for a function: activation)")
    built = [each.build() for each in models]
    layers = [with_state(each) for each in built]

    def apply(params, state, x, key=None, weight=None):
        after = []
        keys = split_key(key, len(layers))
        for (_, layer, _), part, own_state, own_key in zip(layers, params, state, keys, strict=True):
            x, own_state = layer(part, own_state, x, own_key, weight)
            after.append(own_state)
        return x, tuple(after)

    init = jointly([init for init, _, _ in layers])
    return of_parts(built, init, apply, lambda: tuple(init_state() for _, _, init_state in layers))


def split_key(key: jax.Array | None, count: int) -> Any:
    """A key for each of `count` layers, or None for each."""
    return [None] * count if key is None else jax.random.split(key, count)


def check_size(who: str, name: str, size: Any) -> None:
    if not isinstance(size, numbers.Integral) or isinstance(size, bool) or size < 1:
        raise ValueError(f"{who}: {name} must be a positive int, got {size!r}")


def _leafless(function: Callable[[jax.Array, jax.Array | None], jax.Array]):
    """(init, apply) of what has nothing to learn."""
    return Init(()), lambda params, x, key=None: function(jnp.asarray(x), key)


def activation_function(who: str, function: str | Activation) -> Activation:
    """The function of that name, in `ACTIVATIONS`; a function is its own."""
    if callable(function):
        return function
    if function in ACTIVATIONS:
        return ACTIVATIONS[function]
    raise ValueError(f"{who}: no activation {function!r}: {did_you_mean(str(function), ACTIVATIONS)}")


def identity(x: jax.Array) -> jax.Array:
    """x."""
    return x


def step(x: jax.Array) -> jax.Array:
    """1 where x >= 0, else 0: the function of the first neurons. It is flat, so no gradient passes."""
    return jnp.heaviside(x, jnp.ones((), x.dtype))


def sign(x: jax.Array) -> jax.Array:
    """+1 where x >= 0, else -1: always one of two classes, at 0 too (where `jnp.sign` has 0)."""
    return 2 * step(x) - 1


def gelu(x: jax.Array) -> jax.Array:
    """x Phi(x), exactly. Reference: Hendrycks & Gimpel 2016, arXiv:1606.08415."""
    return jax.nn.gelu(x, approximate=False)


ACTIVATIONS: dict[str, Activation] = {
    "identity": identity,
    "step": step,
    "sign": sign,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "hard_tanh": jax.nn.hard_tanh,
    "softsign": jax.nn.soft_sign,
    "sin": jnp.sin,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "gelu": gelu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
}
