"""The layers of any loss and their activations, found from the operations of its jaxpr, for models of any library.

In a traced model, parameters are combined with data, and an activation is applied to every unit. A layer consists of the
parameters that share a place in the tree. Layers are in the order in which they are combined with the data, and an
activation belongs to the last layer before it. The insides of loops and branches are not searched.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.backprop._graph import INLINED, name_of
from gdjax.backprop.units import find_units
from gdjax.jaxprs import is_literal

BOUNDED = ("tanh", "sigmoid", "soft_sign", "hard_tanh")  # units that can saturate
RECTIFIERS = ("relu", "relu6")  # units that can die
OTHERS = ("leaky_relu", "elu", "selu", "celu", "silu", "mish", "softplus", "hard_sigmoid", "hard_silu")
CLOSED = ("logaddexp", "log_softmax", "logsumexp", "softmax", "log_sigmoid")  # not searched
DATA: frozenset[str] = frozenset()
CONSTANT = frozenset(["constant"])
PRODUCTS = ("dot_general", "conv_general_dilated")
OPENED = (*INLINED, "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr")


class Tap(NamedTuple):
    """One activation of a computation, with the examples along one of its axes."""

    index: int  # among all activations, in the order of evaluation
    kind: str
    rows: int  # the axis of the examples


class Layer(NamedTuple):
    """Parameters that act together, and the function after them."""

    name: str
    leaves: tuple[int, ...]  # indices of its leaves among all parameters
    tap: Tap | None  # its activation, if it has one


def find_layers(f: Callable[[Any, Any], Any], params: Any, batch: Any) -> tuple[Layer, ...]:
    """The layers of f(params, batch), in the order in which they are combined with the data; f is traced, not run.

    Args:
        f: any JAX function of both; the leading axis of the batch are its rows. The axis of the examples in an activation is
            the one that grows with the batch, wherever vmap has put it.
        params: arrays whose paths differ only in the last step are a layer; at the top level of the tree, arrays that share
            the number in their name.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    groups: dict[str, list[int]] = {}
    for i, (path, leaf) in enumerate(leaves):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            groups.setdefault(_layer_name(path), []).append(i)
    owner = {i: name for name, members in groups.items() for i in members}
    closed = jax.make_jaxpr(f)(params, batch)
    survey = _Survey()
    origins = [frozenset([owner[i]] if i in owner else []) for i in range(len(leaves))]
    survey.walk(closed.jaxpr, [*origins, *[DATA] * (len(closed.jaxpr.invars) - len(leaves))])
    order = [*survey.met, *(name for name in groups if name not in survey.met)]
    rows = _row_axes(f, params, batch)
    return tuple(
        Layer(name, tuple(groups[name]), _tap_of(name, name == order[-1], survey.taps, rows)) for name in order
    )


def activations(f: Callable[..., Any], *args: Any) -> list[tuple[str, jax.Array]]:
    """(kind, value) of all activations in f(*args), in the order of evaluation."""
    closed = jax.make_jaxpr(f)(*args)
    found: list[tuple[str, jax.Array]] = []
    _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(args), found)
    return found


def _layer_name(path: tuple[Any, ...]) -> str:
    """The path of a leaf without its last step; at the top level the number in its name (w1 and b1 are layer 1)."""
    if path and path[-1] == jax.tree_util.GetAttrKey("value"):  # of a Variable of Flax NNX
        path = path[:-1]
    if len(path) > 1:
        return tree.path_string(path[:-1])
    number = re.search(r"\d+", tree.path_string(path))
    return number.group() if number else "parameters"


def _tap_of(name: str, is_last: bool, taps: list[tuple[str, str]], rows: list[int | None]) -> Tap | None:
    """The last activation of a layer; for the last layer only a bounded one, since others belong to the loss."""
    for i in reversed(range(len(taps))):
        (kind, layer), axis = taps[i], rows[i]
        if layer == name and axis is not None and (kind in BOUNDED or not is_last):
            return Tap(i, kind, axis)
    return None


def _row_axes(f: Callable[[Any, Any], Any], params: Any, batch: Any) -> list[int | None]:
    """For each activation the axis that grows with the batch; None if it is a function of parameters alone."""
    shapes = _shapes(f, params, batch)
    try:
        grown = _shapes(f, params, jax.tree.map(_double_rows, batch))
    except Exception:  # a loss for one batch size: the rows are an axis of this length
        count = max(np.shape(x)[0] for x in jax.tree.leaves(batch) if np.ndim(x))
        grown = [tuple(0 if n == count else n for n in shape) for shape in shapes]
    differ = [np.not_equal(one, other) for one, other in zip(shapes, grown, strict=True)]
    return [int(np.argmax(axes)) if np.any(axes) else None for axes in differ]


def _double_rows(x: Any) -> Any:
    """The shape with twice the rows."""
    return jax.ShapeDtypeStruct((2 * x.shape[0], *x.shape[1:]), x.dtype) if np.ndim(x) else x


def _shapes(f: Callable[[Any, Any], Any], params: Any, batch: Any) -> list[tuple[int, ...]]:
    values = jax.eval_shape(lambda p, b: [value for _, value in activations(f, p, b)], params, batch)
    return [value.shape for value in values]


class _Survey:
    """Traverses a jaxpr and collects the layers in order, and the activations with the layer before each.

    The origin of a variable is the set of layers on whose parameters alone it depends, or DATA, or CONSTANT.
    """

    def __init__(self) -> None:
        self.met: list[str] = []
        self.latest = ""
        self.size = 0  # number of outputs of the latest layer
        self.taps: list[tuple[str, str]] = []

    def walk(self, jaxpr: Any, inputs: list[frozenset[str]]) -> list[frozenset[str]]:
        """The origins of a jaxpr's outputs, given those of its inputs."""
        origins: dict[Any, frozenset[str]] = dict.fromkeys(jaxpr.constvars, CONSTANT)
        origins.update(zip(jaxpr.invars, inputs, strict=True))

        def of(atom: Any) -> frozenset[str]:
            return CONSTANT if is_literal(atom) else origins[atom]

        for equation, kind, inner in _equations(jaxpr):
            taken = [of(atom) for atom in equation.invars]
            if inner is not None:
                given = self.walk(inner[0], taken)
            else:
                given = [self._combine(equation, taken)] * len(equation.outvars)
            if kind is not None:
                of_units = _kind_by_name(equation) not in (None, "relu") or self._is_full(equation)
                self.taps.append((kind, self.latest if of_units else ""))
            origins.update(zip(equation.outvars, given, strict=True))
        return [of(atom) for atom in jaxpr.outvars]

    def _is_full(self, equation: Any) -> bool:
        """Whether a function is applied to every unit (the maximum with 0 of a normalization's variance is not)."""
        return math.prod(equation.outvars[0].aval.shape) == self.size

    def _combine(self, equation: Any, taken: list[frozenset[str]]) -> frozenset[str]:
        """The origin of an output: parameters remain so if cast, scaled or masked; combined with data, they are a layer."""
        inputs = list(zip(equation.invars, taken, strict=True))
        if equation.primitive.name == "select_n":
            del inputs[0]  # the predicate
        origins = [origin for _, origin in inputs]
        layers = frozenset().union(*origins) - CONSTANT
        if not layers:
            return DATA if DATA in origins else CONSTANT
        own_shapes = {atom.aval.shape for atom, origin in inputs if origin & layers}
        masked = equation.primitive.name not in PRODUCTS and own_shapes == {x.aval.shape for x in equation.outvars}
        if DATA not in origins and (CONSTANT not in origins or masked):
            return layers
        self.size = math.prod(equation.outvars[0].aval.shape)
        for name in sorted(layers):
            self.latest = name
            if name not in self.met:
                self.met.append(name)
        return DATA


def _equations(jaxpr: Any) -> Iterator[tuple[Any, str | None, tuple[Any, Any] | None]]:
    """(equation, the kind of activation that it is if any, (jaxpr, constants) of its inside if it is to be opened)."""
    named = {equation.outvars[0]: kind for equation in jaxpr.eqns if (kind := _kind_by_name(equation)) is not None}
    units = find_units(jaxpr, frozenset(named))
    for equation in jaxpr.eqns:
        inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        output = equation.outvars[0] if equation.outvars else None
        kind = units.kinds.get(output) or (None if output in units.gates else named.get(output))
        name = name_of(equation, inner)
        opened = kind is None and inner is not None and equation.primitive.name in OPENED and name not in CLOSED
        opened = opened and output not in units.gates
        body = (getattr(inner, "jaxpr", inner), getattr(inner, "consts", [])) if opened else None
        yield equation, kind, body


def _kind_by_name(equation: Any) -> str | None:
    primitive = equation.primitive.name
    name = name_of(equation, equation.params.get("jaxpr", equation.params.get("call_jaxpr")))
    if primitive == "logistic":
        return "sigmoid"
    if primitive == "max" and any(is_literal(x) and np.all(x.val == 0) for x in equation.invars):
        return "relu"
    known = name in (*BOUNDED, *RECTIFIERS, *OTHERS)
    return name if known and (primitive == "tanh" or primitive in OPENED) else None


def _evaluate(jaxpr: Any, consts: Any, args: list[Any], found: list[tuple[str, jax.Array]]) -> list[Any]:
    values: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if is_literal(atom) else values[atom]

    for equation, kind, inner in _equations(jaxpr):
        taken = [read(atom) for atom in equation.invars]
        if inner is not None:
            given = _evaluate(*inner, taken, found)
        else:
            answer = equation.primitive.bind(*taken, **equation.primitive.get_bind_params(equation.params))
            given = answer if equation.primitive.multiple_results else [answer]
        if kind is not None:
            found.append((kind, given[0]))
        values.update(zip(equation.outvars, given, strict=True))
    return [read(atom) for atom in jaxpr.outvars]
