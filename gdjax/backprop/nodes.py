"""The nodes of a computational graph, with its costs, tangents, a table and Graphviz."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.drawing import load_plots
from gdjax.text import html_table, table

SYMBOLS = {"add": "+", "add_any": "+", "sub": "-", "mul": "*", "div": "/", "neg": "-", "pow": "^", "dot_general": "·"}
HEAD = ("node", "is", "shape", "value", "adjoint", "local derivatives")


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """One variable of the computation."""

    index: int
    name: str  # an input has the name of its argument and its path there; others a letter
    op: str  # "input", "constant", or the operation
    inputs: tuple[int, ...]  # indices of its input nodes
    value: Any
    adjoint: Any = None  # d output / d node, like value, 0 for an unused input; None where there is none (integers)
    local: tuple[Any, ...] = ()  # d node / d input, for each: a number, an array (out..., in...), None where large
    inside: Any = None  # the jaxpr of a loop, a branch or a function with its own derivative

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.value)


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in the order of evaluation; the last is the output."""

    nodes: tuple[Node, ...]

    @property
    def output(self) -> Node:
        return self.nodes[-1]

    @property
    def inputs(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.op == "input")

    def __getitem__(self, name: str) -> Node:
        """The node with this name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"no node {name!r}: one of {', '.join(node.name for node in self.nodes if node.name)}")

    def tangents(self, name: str, direction: Any = 1.0) -> dict[str, Any]:
        """Forward mode: the derivative of every node along a direction of one input."""
        found: dict[int, Any] = {}
        for node in self.nodes:
            if node.name == name and node.op == "input":
                found[node.index] = jnp.broadcast_to(jnp.asarray(direction, jnp.result_type(node.value)), node.shape)
                continue
            edges = zip(node.inputs, node.local, strict=True)
            parts = [
                jnp.tensordot(d, found[i], axes=np.ndim(found[i])) for i, d in edges if i in found and d is not None
            ]
            if parts:
                found[node.index] = sum(parts[1:], start=parts[0])
        return {node.name: found[node.index] for node in self.nodes if node.index in found}

    def counts(self) -> dict[str, int]:
        """What each way to the gradient costs, in products of a local derivative with a number or an array.

        operations      nodes that are computed
        edges           local derivatives: the products of one pass, forward or back
        scalar inputs   numbers that the output depends on: forward mode needs a pass for each
        forward         edges times scalar inputs
        reverse         edges: one pass gives the derivative with respect to all
        unshared        operations of the same formula written out as a tree, without sharing
        """
        computed = [node for node in self.nodes if node.inputs]
        live = [node.adjoint is not None for node in self.nodes]
        edges = sum(live[node.index] and live[i] for node in computed for i in node.inputs)
        used = {self.output.index}.union(*(node.inputs for node in self.nodes))
        numbers = sum(int(np.size(x.value)) for x in self.inputs if x.adjoint is not None and x.index in used)
        unshared: dict[int, int] = {}
        for node in self.nodes:
            unshared[node.index] = sum(unshared[i] for i in node.inputs) + bool(node.inputs)
        return {
            "operations": len(computed),
            "edges": edges,
            "scalar inputs": numbers,
            "forward": edges * numbers,
            "reverse": edges,
            "unshared": unshared[self.output.index],
        }

    def __str__(self) -> str:
        return table([HEAD, *map(self._row, self._rows())])

    def _rows(self) -> list[Node]:
        """The nodes except the constants, which are written into formulas."""
        return [node for node in self.nodes if node.shape or node.op != "constant"]

    def _row(self, node: Node) -> tuple[str, ...]:
        shape = str(list(node.shape)) if node.shape else ""
        return (
            node.name,
            self.formula(node),
            shape,
            format_value(node.value),
            format_value(node.adjoint),
            self._edges(node),
        )

    def formula(self, node: Node) -> str:
        """What a node is, in the names of its inputs."""
        names = [self.nodes[i].name for i in node.inputs]
        if not names:
            return node.op
        if node.op.startswith("^"):
            return names[0] + node.op
        symbol = SYMBOLS.get(node.op)
        if symbol and len(names) == 2:
            return f"{names[0]} {symbol} {names[1]}"
        return f"{symbol or node.op}{names[0]}" if symbol == "-" else f"{node.op}({', '.join(names)})"

    def _edges(self, node: Node) -> str:
        each = zip(node.inputs, node.local, strict=True)
        single = ((self.nodes[i].name, d) for i, d in each if d is not None and np.size(d) == 1)
        return ", ".join(f"d{node.name}/d{name} = {format_value(np.ravel(d)[0])}" for name, d in single)

    def to_dot(self) -> str:
        """The graph in the language of Graphviz."""
        lines = ["digraph {", "  rankdir=LR; node [shape=box, style=rounded];"]
        for node in self.nodes:
            words = [f"{node.name} = {self.formula(node)}", format_value(node.value)]
            words += [] if node.adjoint is None else [f"adjoint {format_value(node.adjoint)}"]
            label = "\\n".join(word.replace('"', "'") for word in words)
            lines.append(f'  n{node.index} [label="{label}"];')
            for i, d in zip(node.inputs, node.local, strict=True):
                label = f' [label="{format_value(d)}"]' if d is not None and np.size(d) == 1 else ""
                lines.append(f"  n{i} -> n{node.index}{label};")
        return "\n".join([*lines, "}"])

    def _repr_html_(self) -> str:
        """In a notebook: the picture, where one can be drawn, and the table below it."""
        picture = ""
        with contextlib.suppress(ImportError, ValueError):  # no matplotlib; more nodes than can be told apart
            picture = load_plots().graph_svg(self)
            picture = f"<div>{picture[picture.index('<svg') :]}</div>"
        return picture + html_table([HEAD, *map(self._row, self._rows())])


def format_value(x: Any) -> str:
    """A number as it is, a small array in brackets, a large one by its norm."""
    if x is None:
        return ""
    if jnp.issubdtype(getattr(x, "dtype", float), jax.dtypes.prng_key):
        return "a random key"
    array = np.asarray(x)
    if array.ndim == 0:
        return f"{float(array):.6g}" if array.dtype.kind not in "bc" else str(array)
    if array.size <= 4:
        return np.array2string(array, precision=4, separator=", ").replace("\n", "")
    return f"|.| = {float(np.linalg.norm(np.ravel(array).astype(complex))):.4g}"
