"""Backpropagation as it is done by hand: the four equations, for fully connected networks of any depth.

Feed forward, a_0 = x, keeping every weighted input z and activation a:

    z_l = a_{l-1} w_l + b_l,      a_l = f_l(z_l)

and go back with the error delta_l = dC/dz_l:

    BP1     delta_L = dC/da_L f_L'(z_L)
    BP2     delta_l = (delta_{l+1} w_{l+1}') f_l'(z_l)
    BP3     dC/db_l = delta_l
    BP4     dC/dw_l = a_{l-1}' delta_l

Parameters are those of `models.mlp`, ({"w": (in, out), "b": (out,)}, ...): w is the transpose of the lectures' W. One
instance is x (in,), y (out,); a mini-batch is x (n, in), y (n, out), whose cost and gradients are means over its instances.
Where the cost and the last activation belong together, BP1 is a - y: their derivatives cancel (`CANCELLING`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Layers = Sequence[dict[str, jax.Array]]


class Activation(NamedTuple):
    """A function of z and its derivative, from z and a = f(z), entry by entry; the derivative of softmax is None."""

    function: Callable[[jax.Array], jax.Array]
    derivative: Callable[[jax.Array, jax.Array], jax.Array] | None


class Cost(NamedTuple):
    """C(a, y) of one instance, (out,) each -> (), and dC/da."""

    function: Callable[[jax.Array, jax.Array], jax.Array]
    derivative: Callable[[jax.Array, jax.Array], jax.Array]


def _gelu_derivative(z, a):
    return jax.scipy.stats.norm.cdf(z) + z * jax.scipy.stats.norm.pdf(z)


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(lambda z: z, lambda z, a: jnp.ones_like(z)),
    "sigmoid": Activation(jax.nn.sigmoid, lambda z, a: a * (1 - a)),
    "tanh": Activation(jnp.tanh, lambda z, a: 1 - a**2),
    "relu": Activation(jax.nn.relu, lambda z, a: (z > 0).astype(z.dtype)),
    "leaky_relu": Activation(jax.nn.leaky_relu, lambda z, a: jnp.where(z >= 0, 1, 0.01).astype(z.dtype)),
    "elu": Activation(jax.nn.elu, lambda z, a: jnp.where(z > 0, 1, a + 1)),
    "softplus": Activation(jax.nn.softplus, lambda z, a: jax.nn.sigmoid(z)),
    "silu": Activation(jax.nn.silu, lambda z, a: jax.nn.sigmoid(z) * (1 + z - a)),
    "gelu": Activation(lambda z: jax.nn.gelu(z, approximate=False), _gelu_derivative),
    "sin": Activation(jnp.sin, lambda z, a: jnp.cos(z)),
    "softmax": Activation(jax.nn.softmax, None),
}


def _cross_entropy(a, y):
    return -jnp.sum(jax.scipy.special.xlogy(y, a))


def _binary_cross_entropy(a, y):
    return -jnp.sum(jax.scipy.special.xlogy(y, a) + jax.scipy.special.xlog1py(1 - y, -a))


COSTS: dict[str, Cost] = {
    "quadratic": Cost(lambda a, y: 0.5 * jnp.sum((a - y) ** 2), lambda a, y: a - y),
    "cross_entropy": Cost(_cross_entropy, lambda a, y: -y / a),
    "binary_cross_entropy": Cost(_binary_cross_entropy, lambda a, y: (a - y) / (a * (1 - a))),
}
CANCELLING = {("cross_entropy", "softmax"), ("binary_cross_entropy", "sigmoid"), ("quadratic", "identity")}


class Pass(NamedTuple):
    """What one pass forward and back has written down; lists run over the layers."""

    z: list[jax.Array]  # (n, out) weighted inputs
    a: list[jax.Array]  # (n, out) activations, a[0] = x: one more than z
    delta: list[jax.Array]  # (n, out) errors dC/dz of each instance
    cost: jax.Array  # () mean over the instances
    gradients: tuple[dict[str, jax.Array], ...]  # of the mean, like the parameters


def cost_of(
    params: Layers, x: jax.Array, y: jax.Array, activations: Any = ("tanh", "softmax"), cost: str = "cross_entropy"
) -> jax.Array:
    """C, () mean over the instances: what `jax.grad` differentiates where `backpropagate` does it by hand."""
    z, a, y, _ = _fed_forward(params, x, y, activations, cost)
    return _mean_cost(z, a, y, cost, _names(activations, len(params))[-1])


def backpropagate(
    params: Layers, x: jax.Array, y: jax.Array, activations: Any = ("tanh", "softmax"), cost: str = "cross_entropy"
) -> Pass:
    """One pass forward and back, by BP1 to BP4.

    Args:
        params: ({"w": (in, out), "b": (out,)}, ...), as `models.mlp` has them.
        x: (in,) or (n, in).
        y: (out,) or (n, out): targets, or probabilities of the classes (one-hot).
        activations: of the layers, names in `ACTIVATIONS`; with two names for more layers, the first is that of all hidden
            ones. "softmax" can only be the last.
        cost: "quadratic" 1/2 sum (a - y)², "cross_entropy" -sum y ln a (nats), or "binary_cross_entropy"
            -sum y ln a + (1 - y) ln(1 - a), of each instance.

    Raises: ValueError for unknown names, or shapes that do not fit.
    Reference: Rumelhart, Hinton & Williams 1986; Nielsen 2015, Neural Networks and Deep Learning, chapter 2 (BP1 to BP4).
    """
    z, a, y, names = _fed_forward(params, x, y, activations, cost)
    n, last = a[0].shape[0], len(params) - 1
    delta = [_output_error(z[-1], a[-1], y, names[-1], cost)]  # BP1
    for layer in range(last - 1, -1, -1):
        slope = ACTIVATIONS[names[layer]].derivative(z[layer], a[layer + 1])  # type: ignore[misc]
        delta.insert(0, delta[0] @ params[layer + 1]["w"].T * slope)  # BP2
    gradients = tuple(
        {"w": a[layer].T @ delta[layer] / n, "b": jnp.mean(delta[layer], axis=0)}  # BP4, BP3
        for layer in range(len(params))
    )
    return Pass(z, a, delta, _mean_cost(z, a, y, cost, names[-1]), gradients)


def table(
    params: Layers, x: jax.Array, y: jax.Array, activations: Any = ("tanh", "softmax"), cost: str = "cross_entropy"
) -> str:
    """The pass of one instance, layer by layer: forward down the page, backward beside it."""
    found = backpropagate(params, x, y, activations, cost)
    names = _names(activations, len(params))
    if found.a[0].shape[0] != 1:
        raise ValueError(f"table: x must be one instance, got {found.a[0].shape[0]}")
    rows = [["layer", "z", "a", "dC/dz", "|dC/dw|", "|dC/db|", ""], ["input", "", _shown(found.a[0][0]), *[""] * 4]]
    for i, (z, a, delta, gradient) in enumerate(zip(found.z, found.a[1:], found.delta, found.gradients, strict=True)):
        sizes = (f"{float(jnp.linalg.norm(gradient[name])):.4g}" for name in ("w", "b"))
        rows.append([str(i + 1), *(_shown(x[0]) for x in (z, a, delta)), *sizes, names[i]])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join([*(line.rstrip() for line in lines), f"cost {float(found.cost):.6g} ({cost})"])


def product_gradients(x: jax.Array, w: jax.Array, d_out: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(dL/dX, dL/dW) of D = X W from dL/dD: the forms whose shapes leave no choice.

    dL/dX = dL/dD W'     (n, in)            dL/dW = X' dL/dD     (in, out)
    """
    return d_out @ w.T, x.T @ d_out


def fold_bias(layer: dict[str, jax.Array]) -> jax.Array:
    """The bias as one more row of the weights, (in + 1, out), for inputs with a column of ones at the end (`with_ones`)."""
    return jnp.concatenate([layer["w"], layer["b"][None]])


def with_ones(x: jax.Array) -> jax.Array:
    """(n, in) with a last column of ones."""
    return jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)


def _fed_forward(params, x, y, activations, cost):
    """z, a, y as batches, and the activation of each layer; checked."""
    names = _names(activations, len(params))
    if cost not in COSTS:
        raise ValueError(f"backpropagate: cost must be one of {', '.join(COSTS)}, got {cost!r}")
    x, y = (jnp.atleast_2d(jnp.asarray(v)) for v in (x, y))
    y = y.astype(x.dtype)
    z, a = [], [x]
    for i, (layer, name) in enumerate(zip(params, names, strict=True)):
        if a[-1].shape[-1] != layer["w"].shape[0]:
            raise ValueError(
                f"backpropagate: params[{i}]['w'] must have {a[-1].shape[-1]} rows, got {layer['w'].shape}"
            )
        z.append(a[-1] @ layer["w"] + layer["b"])
        a.append(ACTIVATIONS[name].function(z[-1]))
    if y.shape != a[-1].shape:
        raise ValueError(f"backpropagate: y must have shape {a[-1].shape} as the outputs, got {y.shape}")
    return z, a, y, names


def _names(activations: Any, layers: int) -> list[str]:
    names = [activations] * layers if isinstance(activations, str) else list(activations)
    if len(names) == 2 and layers != 2:
        names = [names[0]] * (layers - 1) + [names[1]]
    unknown = [name for name in names if name not in ACTIVATIONS]
    if unknown or len(names) != layers or "softmax" in names[:-1]:
        known = ", ".join(ACTIVATIONS)
        raise ValueError(
            f"backpropagate: activations must name one for each of {layers} layers, of {known} (softmax last), got {names}"
        )
    return names


def _output_error(z, a, y, name: str, cost: str) -> jax.Array:
    """BP1: delta_L."""
    if (cost, name) in CANCELLING:
        return a - y
    slope = COSTS[cost].derivative(a, y)
    if name == "softmax":  # J' g with J = diag(a) - a a'
        return a * (slope - jnp.sum(a * slope, axis=-1, keepdims=True))
    return slope * ACTIVATIONS[name].derivative(z, a)  # type: ignore[misc]


def _mean_cost(z, a, y, cost: str, name: str) -> jax.Array:
    """The cost, from z where the logarithm of a would overflow."""
    if (cost, name) == ("cross_entropy", "softmax"):
        return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(z[-1]), axis=-1))
    if (cost, name) == ("binary_cross_entropy", "sigmoid"):
        return jnp.mean(jnp.sum(jax.nn.softplus(z[-1]) - y * z[-1], axis=-1))
    return jnp.mean(jax.vmap(COSTS[cost].function)(a[-1], y))


def _shown(x: jax.Array) -> str:
    """The first entries of a vector."""
    entries = [f"{float(value):.4g}" for value in x[:3]]
    more = f" ... ({math.prod(x.shape)})" if x.size > 3 else ""
    return " ".join(entries) + more
