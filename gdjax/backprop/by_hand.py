"""Backpropagation by its four equations, for fully connected networks of any depth.

The forward pass starts with a_0 = x and keeps every weighted input z and activation a:

    z_l = a_{l-1} w_l + b_l,      a_l = f_l(z_l)

The backward pass computes the errors delta_l = dC/dz_l:

    BP1     delta_L = dC/da_L f_L'(z_L)
    BP2     delta_l = (delta_{l+1} w_{l+1}') f_l'(z_l)
    BP3     dC/db_l = delta_l
    BP4     dC/dw_l = a_{l-1}' delta_l

Parameters are those of `models.mlp`, ({"w": (in, out), "b": (out,)}, ...): w is the transpose of the lectures' W. One
example is x (in,), y (out,); a mini-batch is x (n, in), y (n, out), whose cost and gradients are means over its examples.
If the cost matches the last activation, BP1 is a - y, since their derivatives cancel (`CANCELLING`); with softmax it is a
sum(y) - y, for targets that need not sum to 1.

    backpropagate(model, params, x, y)                      a `models.mlp`: its own activations, the cost of its logits
    backpropagate(params, x, y, activations, cost)          these parameters with these activations
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import models, text
from gdjax.calls import Model
from gdjax.domain import SHARES, within

Layers = Sequence[dict[str, jax.Array]]


class Activation(NamedTuple):
    """A function of z and its elementwise derivative, from z and a = f(z); the derivative of softmax is None."""

    function: Callable[[jax.Array], jax.Array]
    derivative: Callable[[jax.Array, jax.Array], jax.Array] | None


class Cost(NamedTuple):
    """C(a, y) of one example, (out,) each -> (), and dC/da."""

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
HEADS = {"quadratic": "identity", "cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}  # of logits
CANCELLING = {("cross_entropy", "softmax"), ("binary_cross_entropy", "sigmoid"), ("quadratic", "identity")}


class Pass(NamedTuple):
    """The intermediate values of one forward and backward pass; lists run over the layers."""

    z: list[jax.Array]  # (n, out) weighted inputs
    a: list[jax.Array]  # (n, out) activations, a[0] = x, so one more than z
    delta: list[jax.Array]  # (n, out) errors dC/dz of each example
    cost: jax.Array  # () mean over the examples
    gradients: tuple[dict[str, jax.Array], ...]  # gradients of the mean cost, like the parameters


def _takes_a_model(f: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a function of (params, x, y, activations, cost) to take (model, params, x, y, cost) or `model=` too."""

    @functools.wraps(f)
    def call(*given: Any, model: Any = None, **named: Any) -> Any:
        if given and isinstance(given[0], Model):
            model, *given = given  # type: ignore[assignment]
        if model is None:
            return f(*given, **named)
        if len(given) > 3:
            *given, named["cost"] = given  # type: ignore[assignment]
        if len(given) > 3 or "activations" in named:
            raise ValueError(f"{f.__name__}: a model has its own activations: give (model, params, x, y, cost)")
        named["activations"], named["cost"] = _activations_and_cost(model, named.get("cost"))
        return f(*given, **named)

    return call


def _activations_and_cost(model: Any, cost: str | None) -> tuple[list[Any], str]:
    """The activations of an mlp, including the one that the cost applies to the outputs, and the cost."""
    if not isinstance(model, Model) or model.recipe.name != "mlp":
        raise ValueError(f"backpropagate: model must be a models.mlp, got {model!r}; else give params and activations")
    sizes, hidden, output = (model.arguments[name] for name in ("sizes", "activation", "output"))
    logits = output in ("identity", models.ACTIVATIONS["identity"])
    if cost is None and not (logits and sizes[-1] not in (None, 1)):
        raise ValueError(
            f"backpropagate: {model!r} has no probabilities of several classes: give cost='quadratic' or "
            "'binary_cross_entropy'"
        )
    cost = "cross_entropy" if cost is None else cost
    return [*[hidden] * (len(sizes) - 2), HEADS.get(cost, "identity") if logits else output], cost


@_takes_a_model
def cost_of(
    params: Layers, x: jax.Array, y: jax.Array, activations: Any = ("tanh", "softmax"), cost: str = "cross_entropy"
) -> jax.Array:
    """C, the mean over the examples, (): the function whose gradient `backpropagate` computes.

    Args:
        params, x, y, activations, cost: those of `backpropagate`.

    >>> params = ({"w": jnp.array([[1.0], [2.0]]), "b": jnp.array([0.5])},)
    >>> x, y = jnp.array([3.0, 4.0]), jnp.array([10.0])
    >>> print(gd.backprop.cost_of(params, x, y, activations=("identity",), cost="quadratic"))
    1.125
    """
    z, a, y, _ = _fed_forward(params, x, y, activations, cost)
    return _mean_cost(z, a, y, cost, _names(activations, len(params))[-1])


@_takes_a_model
def backpropagate(
    params: Layers, x: jax.Array, y: jax.Array, activations: Any = ("tanh", "softmax"), cost: str = "cross_entropy"
) -> Pass:
    """One forward and backward pass, by BP1 to BP4.

    Args:
        params: ({"w": (in, out), "b": (out,)}, ...), like those of `models.mlp`.
        x: (in,) or (n, in).
        y: (out,) or (n, out): targets, or probabilities of the classes (one-hot), in [0, 1] but not necessarily of sum 1
            (traced ones outside [0, 1] give NaN). For a single output, () or (n,) is enough.
        activations: one for each layer: names in `ACTIVATIONS` or in `models.ACTIVATIONS`, or elementwise functions. Of two
            for more layers, the first is that of all hidden layers. "softmax" can only be the last. Without activations, and
            without a model, the network is that of the lectures (tanh, then softmax).
        cost: "quadratic" 1/2 sum (a - y)², "cross_entropy" -sum y ln a (nats), or "binary_cross_entropy"
            -sum y ln a + (1 - y) ln(1 - a), for each example. To the logits of a model, softmax, sigmoid or nothing is
            applied, according to the cost; without a cost, several logits are those of classes.

    Returns: a Pass; its gradients have the dtypes of params.
    Raises: ValueError for unknown names, shapes that do not fit, a softmax of one output, a cross-entropy of y outside
        [0, 1], or a model that is no mlp.
    Reference: Rumelhart, Hinton & Williams 1986; Nielsen 2015, Neural Networks and Deep Learning, chapter 2 (BP1 to BP4).

    >>> params = ({"w": jnp.array([[1.0], [2.0]]), "b": jnp.array([0.5])},)
    >>> x, y = jnp.array([3.0, 4.0]), jnp.array([10.0])
    >>> print(gd.backprop.backpropagate(params, x, y, activations=("identity",), cost="quadratic").gradients)
    ({'w': Array([[4.5],
           [6.]], dtype=float32), 'b': Array([1.5], dtype=float32)},)
    """
    z, a, y, names = _fed_forward(params, x, y, activations, cost)
    n, last = a[0].shape[0], len(params) - 1
    delta = [_output_error(z[-1], a[-1], y, names[-1], cost)]  # BP1
    for layer in range(last - 1, -1, -1):
        slope = _activation(names[layer]).derivative(z[layer], a[layer + 1])  # type: ignore[misc]
        delta.insert(0, delta[0] @ params[layer + 1]["w"].T * slope)  # BP2
    gradients = tuple(
        {"w": a[layer].T @ delta[layer] / n, "b": jnp.mean(delta[layer], axis=0)}  # BP4, BP3
        for layer in range(len(params))
    )
    gradients = tuple(
        {name: g[name].astype(jnp.result_type(layer[name])) for name in g}
        for g, layer in zip(gradients, params, strict=True)
    )
    return Pass(z, a, delta, _mean_cost(z, a, y, cost, names[-1]), gradients)


@_takes_a_model
def table(
    params: Layers, x: jax.Array, y: jax.Array, activations: Any = ("tanh", "softmax"), cost: str = "cross_entropy"
) -> str:
    """The pass of one example as a table, layer by layer, with forward and backward values side by side.

    Args:
        params, x, y, activations, cost: those of `backpropagate`, of a single example.

    >>> params = ({"w": jnp.array([[1.0], [2.0]]), "b": jnp.array([0.5])},)
    >>> x, y = jnp.array([3.0, 4.0]), jnp.array([10.0])
    >>> print(gd.backprop.table(params, x, y, activations=("identity",), cost="quadratic"))
    layer  z     a     dC/dz  |dC/dw|  |dC/db|
    input        3 4
    1      11.5  11.5  1.5    7.5      1.5      identity
    cost 1.125 (quadratic)
    """
    found = backpropagate(params, x, y, activations, cost)
    names = _names(activations, len(params))
    if found.a[0].shape[0] != 1:
        raise ValueError(f"table: x must be one instance, got {found.a[0].shape[0]}")
    rows = [
        ["layer", "z", "a", "dC/dz", "|dC/dw|", "|dC/db|", ""],
        ["input", "", _first_entries(found.a[0][0]), *[""] * 4],
    ]
    for i, (z, a, delta, gradient) in enumerate(zip(found.z, found.a[1:], found.delta, found.gradients, strict=True)):
        sizes = (f"{float(jnp.linalg.norm(gradient[name])):.4g}" for name in ("w", "b"))
        rows.append(
            [
                str(i + 1),
                *(_first_entries(x[0]) for x in (z, a, delta)),
                *sizes,
                names[i] if isinstance(names[i], str) else getattr(names[i], "__name__", ""),
            ]
        )
    said = f"cost {float(found.cost):.6g} ({cost})"
    return text.Rendered(f"{text.table(rows)}\n{said}", text.html_table(rows, below=said))


def product_gradients(x: jax.Array, w: jax.Array, d_out: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(dL/dX, dL/dW) of D = X W from dL/dD.

    dL/dX = dL/dD W'     (n, in)            dL/dW = X' dL/dD     (in, out)

    >>> print(gd.backprop.product_gradients(jnp.array([[1.0, 2.0]]), jnp.array([[3.0], [4.0]]), jnp.array([[1.0]])))
    (Array([[3., 4.]], dtype=float32), Array([[1.],
           [2.]], dtype=float32))
    """
    return d_out @ w.T, x.T @ d_out


def fold_bias(layer: dict[str, jax.Array]) -> jax.Array:
    """The weights with the bias as last row, (in + 1, out), for inputs with a last column of ones (`with_ones`).

    Args:
        layer: {"w": (in, out), "b": (out,)}.

    >>> print(gd.backprop.fold_bias({"w": jnp.array([[1.0], [2.0]]), "b": jnp.array([0.5])}))
    [[1.]
     [2.]
     [0.5]]
    """
    return jnp.concatenate([layer["w"], layer["b"][None]])


def with_ones(x: jax.Array) -> jax.Array:
    """(n, in) with a last column of ones.

    >>> print(gd.backprop.with_ones(jnp.array([[2.0, 3.0]])))
    [[2. 3. 1.]]
    """
    return jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)


def _fed_forward(params, x, y, activations, cost):
    """z, a, y as batches, and the activation of each layer; checked."""
    if not isinstance(params, Sequence) or not all(
        isinstance(layer, dict) and {"w", "b"} <= set(layer) for layer in params
    ):
        raise ValueError(
            "backpropagate: params must be ({'w': (in, out), 'b': (out,)}, ...), or a models.mlp before them, got "
            f"{jax.tree.structure(params)}"
        )
    names = _names(activations, len(params))
    if cost not in COSTS:
        raise ValueError(f"backpropagate: cost must be one of {', '.join(COSTS)}, got {cost!r}")
    x = _real("x", x, jnp.result_type(params[0]["w"]))
    y = _real("y", y, jnp.result_type(float))
    if params[-1]["w"].shape[-1] == 1 and y.ndim == x.ndim - 1:
        y = y[..., None]
    x, y = jnp.atleast_2d(x), jnp.atleast_2d(y)
    z, a = [], [x]
    for i, (layer, name) in enumerate(zip(params, names, strict=True)):
        if a[-1].shape[-1] != layer["w"].shape[0]:
            raise ValueError(
                f"backpropagate: params[{i}]['w'] must have {a[-1].shape[-1]} rows, got {layer['w'].shape}"
            )
        z.append(a[-1] @ layer["w"] + layer["b"])
        a.append(_activation(name).function(z[-1]))
    if y.shape != a[-1].shape:
        raise ValueError(f"backpropagate: y must have shape {a[-1].shape} as the outputs, got {y.shape}")
    if cost != "quadratic":
        y = y * within("backpropagate", "y", y, SHARES)
    if names[-1] == "softmax" and y.shape[-1] == 1:
        raise ValueError(
            "backpropagate: a softmax must have at least 2 outputs, got 1, which is always 1: give the model, or a last "
            "activation such as 'sigmoid' with cost='binary_cross_entropy'"
        )
    return z, a, y, names


def _real(name: str, value: Any, dtype: Any) -> jax.Array:
    """A floating array: integers and bools are converted to the dtype, other arrays keep their own."""
    value = jnp.asarray(value)
    if jnp.issubdtype(value.dtype, jnp.complexfloating):
        raise ValueError(f"backpropagate: {name} must be real, got {value.dtype}")
    return value if jnp.issubdtype(value.dtype, jnp.floating) else value.astype(dtype)


def _activation(name: Any) -> Activation:
    """The Activation of a name or a function; outside `ACTIVATIONS`, its derivative is computed by JAX."""
    if isinstance(name, str) and name in ACTIVATIONS:
        return ACTIVATIONS[name]
    function: Any = name if callable(name) else models.ACTIVATIONS[name]
    return Activation(function, lambda z, a: jax.jvp(function, (z,), (jnp.ones_like(z),))[1])


def _names(activations: Any, layers: int) -> list[Any]:
    if isinstance(activations, str) or callable(activations):
        activations = [activations] * layers
    names = [*activations]
    if len(names) == 2 and layers != 2:
        names = [names[0]] * (layers - 1) + [names[1]]
    known = dict.fromkeys([*ACTIVATIONS, *models.ACTIVATIONS])
    unknown = [name for name in names if not callable(name) and name not in known]
    if unknown or len(names) != layers or "softmax" in names[:-1]:
        raise ValueError(
            f"backpropagate: activations must name one for each of {layers} layers, of {', '.join(known)} (softmax last), "
            f"got {names}"
        )
    return names


def _output_error(z, a, y, name: Any, cost: str) -> jax.Array:
    """BP1: delta_L."""
    if (cost, name) in CANCELLING:
        return a * jnp.sum(y, axis=-1, keepdims=True) - y if name == "softmax" else a - y
    slope = COSTS[cost].derivative(a, y)
    if name == "softmax":  # J' g with J = diag(a) - a a'
        return a * (slope - jnp.sum(a * slope, axis=-1, keepdims=True))
    return slope * _activation(name).derivative(z, a)  # type: ignore[misc]


def _mean_cost(z, a, y, cost: str, name: Any) -> jax.Array:
    """The mean cost, computed from z if the logarithm of a would overflow."""
    if (cost, name) == ("cross_entropy", "softmax"):
        return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(z[-1]), axis=-1))
    if (cost, name) == ("binary_cross_entropy", "sigmoid"):
        return jnp.mean(jnp.sum(jax.nn.softplus(z[-1]) - y * z[-1], axis=-1))
    return jnp.mean(jax.vmap(COSTS[cost].function)(a[-1], y))


def _first_entries(x: jax.Array) -> str:
    """The first entries of a vector, as text."""
    entries = [f"{float(value):.4g}" for value in x[:3]]
    more = f" ... ({math.prod(x.shape)})" if x.size > 3 else ""
    return " ".join(entries) + more
