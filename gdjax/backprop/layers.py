"""The layers inside any loss: found from its operations, so that a model of any library shows its activations.

Once traced, every model is the same: parameters meet data, and a function is applied to every unit. A layer is the
parameters that share a place in the tree; layers are in the order in which the data meet them, and an activation belongs to
the layer met last. Inside loops and branches nothing is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from gdjax import tree
from gdjax.backprop.graph import INLINED, name_of

BOUNDED = ("tanh", "sigmoid", "soft_sign", "hard_tanh")  # units that can saturate
RECTIFIERS = ("relu", "relu6")  # units that can die
OTHERS = ("leaky_relu", "elu", "selu", "celu", "silu", "mish", "softplus")
CLOSED = ("logaddexp", "log_softmax", "logsumexp", "softmax", "log_sigmoid")  # of a loss: not looked into
OPENED = (*INLINED, "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr")


class Tap(NamedTuple):
    """One activation of a computation."""

    index: int  # among all of it, in the order of evaluation
    kind: str
    rows: int  # the axis of the examples


class Layer(NamedTuple):
    """Parameters that act together, and the function after them."""

    name: str
    leaves: tuple[int, ...]  # of the parameters, by their place among all
    tap: Tap | None  # its activation, None where there is none


def find_layers(f: Callable[[Any, Any], Any], params: Any, batch: Any) -> tuple[Layer, ...]:
    """The layers of f(params, batch), in the order in which the data meet them; nothing is computed.

    Args:
        f: any JAX function of both; the rows of the batch are its leading axis. The axis of the examples in an activation is
            the one that grows with the batch, wherever vmap has put it.
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
    survey.walk(closed.jaxpr, [*origins, *[frozenset()] * (len(closed.jaxpr.invars) - len(leaves))])
    order = [*survey.met, *(name for name in groups if name not in survey.met)]
    rows = _row_axes(f, params, batch)
    return tuple(
        Layer(name, tuple(groups[name]), _tap_of(name, name == order[-1], survey.taps, rows)) for name in order
    )


def activations(f: Callable[..., Any], *args: Any) -> list[jax.Array]:
    """The values of all activations in f(*args), in the order of evaluation."""
    closed = jax.make_jaxpr(f)(*args)
    found: list[jax.Array] = []
    _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(args), found)
    return found


def _layer_name(path: tuple) -> str:
    """The place of a leaf without its last step; of a leaf at the top the number in its name, w1 and b1 being layer 1."""
    if len(path) > 1:
        return tree.path_string(path[:-1])
    number = re.search(r"\d+", tree.path_string(path))
    return number.group() if number else "parameters"


def _tap_of(name: str, is_last: bool, taps: list[tuple[str, str]], rows: list[int]) -> Tap | None:
    """The last activation of a layer; of the last layer only one that is bounded: the rest belongs to the loss."""
    own = [i for i, (kind, layer) in enumerate(taps) if layer == name and (kind in BOUNDED or not is_last)]
    return Tap(own[-1], taps[own[-1]][0], rows[own[-1]]) if own else None


def _row_axes(f: Callable[[Any, Any], Any], params: Any, batch: Any) -> list[int]:
    """Of each activation the axis that grows with the batch; 0 where none does."""
    longer = jax.tree.map(lambda x: jax.ShapeDtypeStruct((np.shape(x)[0] + 1, *np.shape(x)[1:]), x.dtype), batch)
    as_it_is, grown = (jax.eval_shape(lambda p, b: activations(f, p, b), params, b) for b in (batch, longer))
    differ = (np.not_equal(x.shape, y.shape) for x, y in zip(as_it_is, grown, strict=True))
    return [int(np.argmax(axes)) for axes in differ]


class _Survey:
    """Walks a jaxpr for what meets what: the layers in order, and the activations with the layer before each."""

    def __init__(self) -> None:
        self.met: list[str] = []
        self.latest = ""
        self.taps: list[tuple[str, str]] = []

    def walk(self, jaxpr: Any, inputs: list[frozenset[str]]) -> list[frozenset[str]]:
        """The layers whose parameters alone each output is made of, given those of the inputs."""
        origins: dict[Any, frozenset[str]] = dict(zip(jaxpr.invars, inputs, strict=True))

        def of(atom: Any) -> frozenset[str]:
            return frozenset() if isinstance(atom, core.Literal) else origins.get(atom, frozenset())

        for equation, kind, inner in _equations(jaxpr):
            taken = [of(atom) for atom in equation.invars]
            if inner is not None:
                given = self.walk(inner[0], taken)
            else:
                given = [self._combined(equation, taken)] * len(equation.outvars)
            if kind is not None:
                self.taps.append((kind, self.latest))
            origins.update(zip(equation.outvars, given, strict=True))
        return [of(atom) for atom in jaxpr.outvars]

    def _combined(self, equation: Any, taken: list[frozenset[str]]) -> frozenset[str]:
        """What is made of parameters alone still is parameters; where they meet data, their layers are met."""
        variables = [o for atom, o in zip(equation.invars, taken, strict=True) if not isinstance(atom, core.Literal)]
        layers = frozenset().union(*variables)
        if variables and all(variables):
            return layers
        for name in sorted(layers):
            self.latest = name
            if name not in self.met:
                self.met.append(name)
        return frozenset()


def _equations(jaxpr: Any) -> Iterator[tuple[Any, str | None, tuple[Any, Any] | None]]:
    """(equation, the kind of activation that it is if any, (jaxpr, constants) of its inside if it is to be opened)."""
    gates = _gates(jaxpr)
    for equation in jaxpr.eqns:
        inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        name = name_of(equation, inner)
        kind = None if any(v in gates for v in equation.outvars) else _kind(equation, name)
        opened = kind is None and inner is not None and equation.primitive.name in OPENED and name not in CLOSED
        body = (getattr(inner, "jaxpr", inner), getattr(inner, "consts", [])) if opened else None
        yield equation, kind, body


def _kind(equation: Any, name: str) -> str | None:
    primitive = equation.primitive.name
    if primitive == "logistic":
        return "sigmoid"
    if primitive == "max" and any(isinstance(x, core.Literal) and np.all(x.val == 0) for x in equation.invars):
        return "relu"
    known = name in (*BOUNDED, *RECTIFIERS, *OTHERS)
    return name if known and (primitive == "tanh" or primitive in OPENED) else None


def _gates(jaxpr: Any) -> set[Any]:
    """Outputs of a tanh that 1 is added to: part of an approximate GELU, and no activation by itself."""
    bounded = {v for equation in jaxpr.eqns if equation.primitive.name == "tanh" for v in equation.outvars}
    added = (equation for equation in jaxpr.eqns if equation.primitive.name == "add")
    return {
        v
        for equation in added
        for v in equation.invars
        if not isinstance(v, core.Literal)
        and v in bounded
        and any(isinstance(x, core.Literal) and np.all(x.val == 1) for x in equation.invars)
    }


def _evaluate(jaxpr: Any, consts: Any, args: list[Any], found: list[jax.Array]) -> list[Any]:
    values: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation, kind, inner in _equations(jaxpr):
        taken = [read(atom) for atom in equation.invars]
        if inner is not None:
            given = _evaluate(*inner, taken, found)
        else:
            answer = equation.primitive.bind(*taken, **equation.primitive.get_bind_params(equation.params))
            given = answer if equation.primitive.multiple_results else [answer]
        if kind is not None:
            found.append(given[0])
        values.update(zip(equation.outvars, given, strict=True))
    return [read(atom) for atom in jaxpr.outvars]
