"""The computational graph of any JAX function: every operation with its value, its adjoint and its local derivatives.

    graph(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0)

A node's adjoint is the derivative of the output with respect to it, for inputs, parameters and intermediate values alike. It
follows from the nodes that use it, by the chain rule,

    adjoint(node) = sum over its users of  adjoint(user) d user / d node

for which the graph is traversed once from the end. Jitted functions are inlined; loops, branches and functions with a custom
derivative are one node each, whose jaxpr is `Node.inside`.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.backprop.nodes import Graph, Node, format_value
from gdjax.jaxprs import is_literal
from gdjax.programs import retrace

INLINED = ("jit", "pjit", "closed_call", "core_call", "remat", "checkpoint", "remat2")
LETTERS = "qrstuvwabcdghkmnpo"
OUTPUTS = ("f", "output", "result")
SMALL = 64  # largest number of entries of a local derivative that is stored


def graph(f: Callable[..., jax.Array], *args: Any, fold: bool = False) -> Graph:
    """The computational graph of f at these arguments, with all values and adjoints.

    Args:
        f: any JAX function of pytrees that returns one real number.
        args: its arguments. Integers are nodes too, without adjoint.
        fold: whether each jitted function (such as jax.nn.log_softmax) is one node with its name, instead of its operations.

    Raises: ValueError if f does not return one real number.

    >>> print(gd.backprop.graph(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0))
    node  is     shape  value  adjoint  local derivatives
    x     input         -2     -4
    y     input         5      -4
    z     input         -4     3
    q     x + y         3      -4       dq/dx = 1, dq/dy = 1
    f     q * z         -12    1        df/dq = -4, df/dz = 3
    """
    closed, answer = jax.make_jaxpr(retrace(f), return_shape=True)(*args)
    leaves = jax.tree.leaves(answer)
    if len(leaves) != 1 or leaves[0].shape != () or not jnp.issubdtype(leaves[0].dtype, jnp.floating):
        got = f"{leaves[0].dtype} of shape {leaves[0].shape}" if len(leaves) == 1 else f"{len(leaves)} arrays"
        raise ValueError(f"graph: f must give one real number, got {got}; take one of them, lambda x: f(x)[0]")
    builder = _Builder(fold)
    names = _input_names(f, args)
    inputs = [builder.add(name, "input", (), leaf) for name, leaf in zip(names, jax.tree.leaves(args), strict=True)]
    constants = [builder.add("", "constant", (), value) for value in closed.consts]
    (last,) = builder.walk(closed.jaxpr, constants, inputs)
    return builder.finish(last)


def _input_names(f: Callable[..., Any], args: tuple[Any, ...]) -> list[str]:
    """For each leaf the name of the argument and the path in it; for a single dictionary, the keys alone."""
    arguments = _argument_names(f, args)
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(args)]
    if len(args) == 1 and all(len(path) == 2 and isinstance(path[1], jax.tree_util.DictKey) for path in paths):
        keys = [str(path[1].key) for path in paths]
        if len(set(keys)) == len(keys):
            return keys
    return [arguments[path[0].idx] + (tree.path_string(path[1:]) if path[1:] else "") for path in paths]


def _argument_names(f: Callable[..., Any], args: tuple[Any, ...]) -> list[str]:
    """The names in the signature, "xs[0]" for `*xs`; without a signature x, y, z, or x1, x2, ..."""
    try:
        bound = inspect.signature(f).bind(*args)
    except (TypeError, ValueError):  # of a builtin
        return list("xyz"[: len(args)]) if len(args) <= 3 else [f"x{i + 1}" for i in range(len(args))]
    names = []
    for name, value in bound.arguments.items():
        several = bound.signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        names += [f"{name}[{i}]" for i in range(len(value))] if several else [name]
    return names


@dataclasses.dataclass
class _Step:
    """One evaluated equation: its inputs, its outputs, and its pullback."""

    function: Callable[..., Any]
    inputs: list[int]
    outputs: list[int]


class _Builder:
    """Evaluates a jaxpr equation by equation and records the nodes."""

    def __init__(self, fold: bool) -> None:
        self.fold = fold
        self.nodes: list[Node] = []
        self.steps: list[_Step] = []

    def add(self, name: str, op: str, inputs: tuple[int, ...], value: Any, inside: Any = None) -> int:
        self.nodes.append(Node(len(self.nodes), name, op, inputs, jnp.asarray(value), inside=inside))
        return len(self.nodes) - 1

    def walk(self, jaxpr: Any, constants: list[int], inputs: list[int]) -> list[int]:
        """The nodes of a jaxpr's outputs, given those of its constants and inputs."""
        place: dict[Any, int] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *inputs], strict=True))

        def read(atom: Any) -> int:
            if is_literal(atom):
                return self.add("", "constant", (), atom.val)
            return place[atom]

        for equation in jaxpr.eqns:
            taken = [read(atom) for atom in equation.invars]
            inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
            if equation.primitive.name in INLINED and inner is not None and not (self.fold and len(inner.eqns) > 1):
                body, consts = (inner.jaxpr, inner.consts) if hasattr(inner, "consts") else (inner, [])
                given = self.walk(body, [self.add("", "constant", (), c) for c in consts], taken)
            elif equation.primitive.name == "convert_element_type" and _keeps(equation, self.nodes[taken[0]]):
                given = taken
            else:
                given = self._evaluate(equation, taken, inner)
            place.update(zip(equation.outvars, given, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _evaluate(self, equation: Any, taken: list[int], inner: Any) -> list[int]:
        function = _function_of(equation)
        values = function(*(self.nodes[i].value for i in taken))
        inside = inner or equation.params.get("branches") or equation.params.get("body_jaxpr")
        given = [self.add("", name_of(equation, inner), tuple(taken), value, inside) for value in values]
        self.steps.append(_Step(function, taken, given))
        return given

    def finish(self, last: int) -> Graph:
        """The graph with adjoints and local derivatives, of the inputs and the nodes on which the output depends."""
        adjoints = self._adjoints(last)
        local = dict(self._locals(adjoints))
        inputs = {node.index for node in self.nodes if node.op == "input"}
        needed = _ancestors(self.nodes, last) | inputs
        for i in inputs:
            if i not in adjoints and _moves(self.nodes[i].value):
                adjoints[i] = jnp.zeros_like(self.nodes[i].value)
        order = {old: new for new, old in enumerate([*sorted(needed - {last}), last])}
        given = {node.name for node in self.nodes}
        taken = given.union(*(re.findall(r"[A-Za-z_]+", name) for name in given))  # so that there is no w besides w1
        numbered = (f"f{i}" for i in itertools.count(1))
        letters, output = _letters(taken), next(x for x in itertools.chain(OUTPUTS, numbered) if x not in taken)
        kept = []
        for old, new in order.items():
            node = self.nodes[old]
            number = node.op == "constant" and not node.shape
            name = node.name or (output if old == last else format_value(node.value) if number else next(letters))
            kept.append(
                dataclasses.replace(
                    node,
                    index=new,
                    name=name,
                    inputs=tuple(order[i] for i in node.inputs),
                    adjoint=adjoints.get(old),
                    local=tuple(local.get((old, k)) for k in range(len(node.inputs))),
                )
            )
        return Graph(tuple(kept))

    def _live(self) -> set[int]:
        """The nodes with a derivative: they depend on floating inputs, and not through a stop_gradient."""
        live = {node.index for node in self.nodes if node.op == "input" and _moves(node.value)}
        for node in self.nodes:
            if live.intersection(node.inputs) and _moves(node.value) and node.op != "stop_gradient":
                live.add(node.index)
        return live

    def _adjoints(self, last: int) -> dict[int, Any]:
        live = self._live()
        found: dict[int, Any] = {last: jnp.ones((), self.nodes[last].value.dtype)}
        for step in reversed(self.steps):
            if not any(i in found for i in step.outputs):
                continue
            moving = [k for k, i in enumerate(step.inputs) if i in live]
            if not moving or not live.intersection(step.outputs):
                continue
            points = [self.nodes[step.inputs[k]].value for k in moving]
            _, pull = jax.vjp(_of_some(step.function, self._values(step), moving), *points)
            parts = pull(tuple(_cotangent(found.get(i), self.nodes[i].value) for i in step.outputs))
            for k, part in zip(moving, parts, strict=True):
                i = step.inputs[k]
                found[i] = found[i] + part if i in found else part
        return found

    def _locals(self, adjoints: dict[int, Any]) -> Iterator[tuple[tuple[int, int], Any]]:
        """((node, position of the input), derivative) for the edges with small enough derivatives."""
        for step in self.steps:
            for k, i in enumerate(step.inputs):
                value = self.nodes[i].value
                one = _of_some(step.function, self._values(step), [k])
                for position, j in enumerate(step.outputs):
                    small = value.size * self.nodes[j].value.size <= SMALL
                    if i in adjoints and j in adjoints and small:
                        yield (j, k), jax.jacrev(lambda x, one=one, position=position: one(x)[position])(value)

    def _values(self, step: _Step) -> list[Any]:
        return [self.nodes[i].value for i in step.inputs]


def _function_of(equation: Any) -> Callable[..., Any]:
    """An equation as a function values -> tuple of values, with its custom derivative if it has one."""

    def run(*values: Any) -> tuple[Any, ...]:
        answer = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
        return tuple(answer) if equation.primitive.multiple_results else (answer,)

    return run


def _keeps(equation: Any, node: Node) -> bool:
    """Whether a conversion changes only the weak type."""
    return equation.params["new_dtype"] == node.value.dtype


def name_of(equation: Any, inner: Any) -> str:
    """The name of the operation, or of a function with a custom derivative; "^3" for an integer power."""
    if equation.primitive.name == "integer_pow":
        return f"^{equation.params['y']}"
    name = equation.params.get("name") or equation.primitive.name
    if name.startswith("custom_") and inner is not None:
        debug = getattr(getattr(inner, "jaxpr", inner), "debug_info", None)
        return getattr(debug, "func_name", None) or name
    return name


def _of_some(function: Callable[..., Any], values: list[Any], chosen: list[int]) -> Callable[..., Any]:
    """A function of the chosen arguments alone."""

    def call_with(*some: Any) -> tuple[Any, ...]:
        whole = list(values)
        for k, x in zip(chosen, some, strict=True):
            whole[k] = x
        return function(*whole)

    return call_with


def _moves(value: Any) -> bool:
    return bool(jnp.issubdtype(jnp.result_type(value), jnp.inexact))


def _cotangent(adjoint: Any, value: Any) -> Any:
    if not _moves(value):
        return np.zeros(np.shape(value), jax.dtypes.float0)
    return jnp.zeros_like(value) if adjoint is None else adjoint


def _ancestors(nodes: list[Node], last: int) -> set[int]:
    needed, waiting = set(), [last]
    while waiting:
        i = waiting.pop()
        if i not in needed:
            needed.add(i)
            waiting.extend(nodes[i].inputs)
    return needed


def _letters(taken: set[str]) -> Iterator[str]:
    number = 0
    while True:
        for letter in LETTERS:
            name = letter + (str(number) if number else "")
            if name not in taken:
                yield name
        number += 1
