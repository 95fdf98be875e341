"""Initializers: functions of noise.

An initializer maps unit normal noise of the shape of the weights to the weights. It draws nothing itself, so that a model
of any depth draws once: `Init` holds the declared parameters and makes one draw, of which each parameter gets a part.
(Draws dominate the compile time of an `init`.)

The common schemes differ in the variance, and in the shape of the distribution:

    variance of w            normal          uniform on [-l, l], l = sqrt(3 variance)
    1 / fan_in               lecun_normal    lecun_uniform     keeps E[x²] through linear layers and SELU
    2 / fan_in               he_normal       he_uniform        keeps E[x²] through ReLU, which halves it
    2 / (fan_in + fan_out)   xavier_normal   xavier_uniform    between keeping activations and gradients

For normal noise z, erf(z / sqrt 2) = 2 Phi(z) - 1 is uniform on [-1, 1]. An initializer is a call node: its numbers are
leaves, so a sweep over `stddev` or `gain` is a `vmap`. To write one, decorate with `@initializer` a function of its numbers
that returns a function of the noise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from gdjax.calls import Decorator, Node, decorator, register
from gdjax.programs import compile_once
from gdjax.types import Params


class Initializer(Node):
    """A node that is called with unit normal noise and returns weights of the same shape."""

    def __call__(self, noise: jax.Array) -> jax.Array:
        weights = self.build()(noise)
        if weights.shape != noise.shape:
            who = self.recipe.name
            raise ValueError(f"{who}: weights must have the noise's shape {noise.shape}, got {weights.shape}")
        return weights


register(Initializer)
initializer: Decorator[Initializer] = decorator(
    Initializer,
    "A factory of initializers from a body that returns noise -> weights.",
    """
    >>> @gd.models.initializer
    ... def halves():
    ...     return lambda noise: noise / 2
    >>> print(halves(), halves()(jnp.ones(2)))
    halves() [0.5 0.5]
    """,
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Parameter:
    """An array that a model declares: its shape, and its initializer."""

    shape: tuple[int, ...] = field(metadata={"static": True})
    initializer: Initializer


@dataclass(frozen=True)
class Init:
    """init(key) -> params, of declared parameters: one draw for the whole tree.

        z ~ N(0, 1)^n,   params_i = initializer_i(z[o_i : o_i + n_i]),   n = sum n_i

    Compiled once for trees of equal structure; the initializers' numbers are arguments of the program.

    Args:
        parameters: any pytree of `Parameter`.
    """

    parameters: Any

    def __call__(self, key: jax.Array) -> Params:
        return compile_once(_draw)(self.parameters, key)


def _draw(parameters: Any, key: jax.Array) -> Params:
    parameters = jax.lax.optimization_barrier(parameters)  # constant folding would change last bits
    leaves, structure = jax.tree.flatten(parameters, is_leaf=lambda x: isinstance(x, Parameter))
    sizes = [math.prod(leaf.shape) for leaf in leaves]
    noise = jax.random.normal(key, (sum(sizes),))
    parts = [noise[end - size : end] for size, end in zip(sizes, itertools.accumulate(sizes), strict=True)]
    drawn = [leaf.initializer(part.reshape(leaf.shape)) for leaf, part in zip(leaves, parts, strict=True)]
    return structure.unflatten(drawn)


def jointly(inits: Sequence[Callable[[jax.Array], Params]]) -> Callable[[jax.Array], tuple[Params, ...]]:
    """The init of a model from those of its parts: a single draw if all are `Init`, else a key for each part."""
    declared = [init.parameters for init in inits if isinstance(init, Init)]
    if len(declared) == len(inits):
        return Init(tuple(declared))

    def init_each(key):
        keys = jax.random.split(key, len(inits))
        return tuple(init(own_key) for init, own_key in zip(inits, keys, strict=True))

    return init_each


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of weights (..., inputs, outputs): the number of inputs of a unit, and of units of an input.

    Axes before the last two are the window of a convolution and multiply both. A vector (inputs,) has one output.
    """
    *window, inputs, outputs = shape if len(shape) > 1 else (math.prod(shape), 1)
    return math.prod(window) * inputs, math.prod(window) * outputs


@initializer
def zeros():
    """Zeros: right for biases, and for convex models, where no start is better than another.

        w = 0

    A hidden layer of zeros never learns to tell its units apart: all see the same gradient.

    >>> print(gd.models.zeros()(jnp.array([1.0, -2.0])))
    [0. 0.]
    """
    return jnp.zeros_like


@initializer
def ones():
    """Ones: right for the scales of normalization layers.

        w = 1

    >>> print(gd.models.ones()(jnp.array([1.0, -2.0])))
    [1. 1.]
    """
    return jnp.ones_like


@initializer(bounds={"stddev": "[0, inf)"})
def normal(stddev=0.01):
    """Normal noise of a given width, whatever the layer's size.

        w ~ N(0, stddev²)

    Args:
        stddev: >= 0, parameter units.

    Raises: ValueError if stddev is negative.

    >>> print(gd.models.normal(0.1)(jnp.array([1.0, -2.0])))
    [0.1 -0.2]
    """
    return lambda noise: stddev * noise


@initializer(bounds={"limit": "[0, inf)"})
def uniform(limit=0.05):
    """Uniform noise of a given range, whatever the layer's size.

        w ~ U[-limit, limit]

    Args:
        limit: >= 0, parameter units.

    Raises: ValueError if limit is negative.

    >>> print(gd.models.uniform(0.1)(jnp.array([1.0, -2.0])))
    [0.068269 -0.09545]
    """
    return lambda noise: limit * _flat(noise)


@initializer(bounds={"gain": "[0, inf)"})
def lecun_normal(gain=1.0):
    """Normal, of the variance that keeps E[x²] through a linear layer.

        w ~ N(0, gain² / fan_in)

    Args:
        gain: >= 0, dimensionless; multiplies the weights.

    Raises: ValueError if gain is negative.
    Reference: LeCun et al. 1998, "Efficient backprop", section 4.6; for SELU, Klambauer et al. 2017,
        arXiv:1706.02515.

    >>> print(gd.models.lecun_normal()(jnp.array([[1.0, -1.0], [2.0, 0.0]])))
    [[0.70711 -0.70711]
     [1.4142 0.]]
    """
    return lambda noise: gain * _bell(noise, 1 / fans(noise.shape)[0])


@initializer(bounds={"gain": "[0, inf)"})
def lecun_uniform(gain=1.0):
    """Uniform, of the variance that keeps E[x²] through a linear layer.

        w ~ gain U[-l, l],   l = sqrt(3 / fan_in)

    Args:
        gain: >= 0, dimensionless; multiplies the weights.

    Raises: ValueError if gain is negative.
    Reference: LeCun et al. 1998, "Efficient backprop", section 4.6.

    >>> print(gd.models.lecun_uniform()(jnp.array([[1.0, -1.0], [2.0, 0.0]])))
    [[0.83612 -0.83612]
     [1.169 0.]]
    """
    return lambda noise: gain * _box(noise, 1 / fans(noise.shape)[0])


@initializer(bounds={"gain": "[0, inf)"})
def he_normal(gain=1.0):
    """Normal, of the variance that keeps E[x²] through a linear layer and its ReLU.

        w ~ N(0, 2 gain² / fan_in)

    Args:
        gain: >= 0, dimensionless; multiplies the weights.

    Raises: ValueError if gain is negative.
    Reference: He et al. 2015, section 2.2, arXiv:1502.01852; also called Kaiming normal.

    >>> print(gd.models.he_normal()(jnp.array([[1.0, -1.0], [2.0, 0.0]])))
    [[1. -1.]
     [2. 0.]]
    """
    return lambda noise: gain * _bell(noise, 2 / fans(noise.shape)[0])


@initializer(bounds={"gain": "[0, inf)"})
def he_uniform(gain=1.0):
    """Uniform, of the variance that keeps E[x²] through a linear layer and its ReLU.

        w ~ gain U[-l, l],   l = sqrt(6 / fan_in)

    Args:
        gain: >= 0, dimensionless; multiplies the weights.

    Raises: ValueError if gain is negative.
    Reference: He et al. 2015, section 2.2, arXiv:1502.01852; also called Kaiming uniform.

    >>> print(gd.models.he_uniform()(jnp.array([[1.0, -1.0], [2.0, 0.0]])))
    [[1.1825 -1.1825]
     [1.6532 0.]]
    """
    return lambda noise: gain * _box(noise, 2 / fans(noise.shape)[0])


@initializer(bounds={"gain": "[0, inf)"})
def xavier_normal(gain=1.0):
    """Normal, of a variance between those that keep activations and gradients; for tanh and its like.

        w ~ N(0, 2 gain² / (fan_in + fan_out))

    Args:
        gain: >= 0, dimensionless; multiplies the weights.

    Raises: ValueError if gain is negative.
    Reference: Glorot & Bengio 2010, equation 12; also called Glorot normal.

    >>> print(gd.models.xavier_normal()(jnp.array([[1.0, -1.0], [2.0, 0.0]])))
    [[0.70711 -0.70711]
     [1.4142 0.]]
    """
    return lambda noise: gain * _bell(noise, 2 / sum(fans(noise.shape)))


@initializer(bounds={"gain": "[0, inf)"})
def xavier_uniform(gain=1.0):
    """Uniform, of a variance between those that keep activations and gradients; for tanh and its like.

        w ~ gain U[-l, l],   l = sqrt(6 / (fan_in + fan_out))

    Args:
        gain: >= 0, dimensionless; multiplies the weights.

    Raises: ValueError if gain is negative.
    Reference: Glorot & Bengio 2010, equation 16; also called Glorot uniform.

    >>> print(gd.models.xavier_uniform()(jnp.array([[1.0, -1.0], [2.0, 0.0]])))
    [[0.83612 -0.83612]
     [1.169 0.]]
    """
    return lambda noise: gain * _box(noise, 2 / sum(fans(noise.shape)))


@initializer(bounds={"gain": "[0, inf)"})
def orthogonal(gain=1.0):
    """A random rotation, all equally likely: no direction is stretched, however deep the network.

        w.T w = gain² 1  if inputs >= outputs,   else  w w.T = gain² 1

    Axes before the last are taken together as inputs; a vector is a direction of length gain.

    Args:
        gain: >= 0, every singular value of w.

    Raises: ValueError if gain is negative.
    Reference: Saxe et al. 2014, arXiv:1312.6120; the signs, Mezzadri 2007, arXiv:math-ph/0609050.

    >>> print(gd.models.orthogonal()(jnp.array([[3.0, 0.0], [4.0, 5.0]])))
    [[0.6 -0.8]
     [0.8 0.6]]
    """

    def rotate(noise):
        matrix = noise.reshape(-1, noise.shape[-1] if noise.ndim > 1 else 1)
        is_wide = matrix.shape[0] < matrix.shape[1]
        matrix = matrix.astype(jnp.promote_types(matrix.dtype, jnp.float32))  # JAX has no 16-bit decompositions
        q, r = jnp.linalg.qr(matrix.T if is_wide else matrix)
        q = q * jnp.where(jnp.diagonal(r) < 0, -1, 1)
        return (gain * (q.T if is_wide else q)).reshape(noise.shape).astype(noise.dtype)

    return rotate


@initializer(static=("number",))
def by_part(inner: Initializer, number: int):
    """An initializer of each of so many parts of the columns, such as gates: each is drawn as if it were alone.

    Args:
        inner: the initializer of a part.
        number: of parts, which are equally wide.

    >>> from gdjax.models.initializers import by_part
    >>> print(by_part(gd.models.xavier_normal(), 2)(jnp.ones((1, 2))))
    [[1. 1.]]
    """
    return lambda noise: jnp.concatenate([inner(part) for part in jnp.split(noise, number, axis=-1)], axis=-1)


@initializer
def of_table(inner: Initializer):
    """An initializer of a table (rows, width) of which a row is looked up: no sum runs over the rows, so fan_in is width.

    Args:
        inner: the initializer whose fans are so.

    >>> from gdjax.models.initializers import of_table
    >>> print(of_table(gd.models.lecun_normal())(jnp.ones((9, 4)))[0])
    [0.5 0.5 0.5 0.5]
    """
    return lambda noise: inner(noise.T).T


def _flat(noise: jax.Array) -> jax.Array:
    """Unit normal noise as uniform noise on [-1, 1]."""
    return jax.lax.erf(noise / math.sqrt(2))


def _bell(noise: jax.Array, variance: float) -> jax.Array:
    return math.sqrt(variance) * noise


def _box(noise: jax.Array, variance: float) -> jax.Array:
    return math.sqrt(3 * variance) * _flat(noise)


INITIALIZERS: dict[str, Callable[..., Initializer]] = {
    factory.__name__: factory
    for factory in (
        zeros,
        ones,
        normal,
        uniform,
        lecun_normal,
        lecun_uniform,
        he_normal,
        he_uniform,
        xavier_normal,
        xavier_uniform,
        orthogonal,
    )
}
