"""The picture of a computational graph: values above, adjoints below, local derivatives on the edges."""

from __future__ import annotations

import dataclasses
import io
import math
from collections import defaultdict
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.patheffects import withStroke

from gdjax.backprop.nodes import Graph, Node, format_value
from gdjax.plots import style
from gdjax.plots.reading import describe_kind
from gdjax.plots.style import BLUE, INK, MUTED, PAPER, SMALL, VERMILLION
from gdjax.text import Rendered

WIDE, HIGH = 1.75, 1.25  # inches of a column and of a row
BOX = (1.25, 0.78)
Spot = tuple[float, float]  # inches
COLUMNS = 7  # columns of a line; longer graphs continue in the next line
MOST = 120  # maximal number of nodes
PLUMBING = ("broadcast_in_dim", "reshape", "convert_element_type", "squeeze", "copy", "expand_dims")


def computation(graph: Graph, title: str = "") -> Figure:
    """The graph from left to right: each box names a node, its value in blue and its adjoint in red.

    Arrays are shown by their shape, their norms, and small maps of the sizes of their entries. What only changes a shape is
    left out, and so is what no derivative flows through, except data; numbers are written into the formulas. A long graph is
    broken into lines; an edge from one to the next ends in the name of the node that it comes from.

    Raises: ValueError for more than 120 nodes.
    """
    if not isinstance(graph, Graph):
        raise ValueError(f"computation: graph must be what gd.backprop.graph(f, ...) gives, got {describe_kind(graph)}")
    nodes = _worth_drawing(graph)
    if len(nodes) > MOST:
        raise ValueError(f"computation: at most {MOST} nodes can be drawn, got {len(nodes)}; print the graph instead")
    lines, places = _break_lines(_places(graph, nodes))
    columns, rows = (1 + max(spot[k] for spot in places.values()) for k in (0, 1))
    picture = style.figure(max(rows * HIGH, 2.0) + 0.4, title)
    scale = max(columns * WIDE, style.WIDTH)
    picture.set_size_inches(scale, picture.get_size_inches()[1])
    axes = picture.subplots()
    axes.set_axis_off()
    axes.set_xlim(-0.6 * WIDE, (columns - 0.4) * WIDE)
    axes.set_ylim(-0.65 * HIGH, (rows - 0.35) * HIGH)
    spots = {i: (x * WIDE, (rows - 1 - y) * HIGH) for i, (x, y) in places.items()}
    written: list[Spot] = []  # places of the numbers on edges
    edges = [(i, n.index, local) for n in nodes for i, local in zip(n.inputs, n.local, strict=True) if i in spots]
    for i, j, local in sorted(edges, key=lambda edge: places[edge[1]][0] - places[edge[0]][0]):  # the short ones first
        if lines[i] == lines[j]:
            _draw_edge(axes, spots[i], spots[j], local, written)
        else:
            _draw_break(axes, spots[i], spots[j], graph.nodes[i].name)
    for node in nodes:
        _draw_node(axes, graph, node, spots[node.index])
    return picture


def graph_svg(graph: Graph) -> str:
    """The picture as SVG: a text, which a notebook shows as the picture."""
    text = io.StringIO()
    computation(graph).savefig(text, format="svg")
    return Rendered(text.getvalue(), svg=text.getvalue())


def _worth_drawing(graph: Graph) -> list[Node]:
    """The nodes to draw, with their inputs among these."""
    stands_for: dict[int, int] = {}
    for node in graph.nodes:
        stands_for[node.index] = stands_for[node.inputs[0]] if node.op in PLUMBING else node.index
    nodes = []
    for node in graph.nodes:
        if node.op in PLUMBING or (node.adjoint is None and not (node.op in ("input", "constant") and node.shape)):
            continue
        nodes.append(dataclasses.replace(node, inputs=tuple(stands_for[i] for i in node.inputs)))
    used = {i for node in nodes for i in node.inputs}
    return [node for node in nodes if node.index in used or node.index == graph.output.index]


def _places(graph: Graph, nodes: list[Node]) -> dict[int, tuple[int, float]]:
    """The column and row of each node: columns by the longest path from the inputs, rows with few crossings of edges."""
    drawn = {node.index for node in nodes}
    column: dict[int, int] = {}
    for node in nodes:
        column[node.index] = max((column[i] + 1 for i in node.inputs if i in drawn), default=0)
    users = defaultdict(list)
    for node in nodes:
        for i in node.inputs:
            users[i].append(node.index)
    for node in reversed(nodes):  # an input is just before its first user
        if not node.inputs and users[node.index]:
            column[node.index] = max(min(column[j] for j in users[node.index]) - 1, 0)
    layers = defaultdict(list)
    for node in nodes:
        layers[column[node.index]].append(node.index)
    row = {i: float(k) for layer in layers.values() for k, i in enumerate(layer)}
    neighbors = {node.index: [i for i in (*node.inputs, *users[node.index]) if i in drawn] for node in nodes}
    for _ in range(12):
        for layer in layers.values():
            middle = {i: np.mean([row[j] for j in neighbors[i]]) if neighbors[i] else row[i] for i in layer}
            layer.sort(key=lambda i: middle[i])
            row.update({i: float(k) for k, i in enumerate(layer)})
    tallest = max(len(layer) for layer in layers.values())
    return {i: (c, k + (tallest - len(layer)) / 2) for c, layer in layers.items() for k, i in enumerate(layer)}


def _break_lines(places: dict[int, tuple[int, float]]) -> tuple[dict[int, int], dict[int, tuple[int, float]]]:
    """The line of each node, and its column and row when the lines are placed below each other."""
    columns = 1 + max(column for column, _ in places.values())
    per_line = math.ceil(columns / math.ceil(columns / COLUMNS))
    lines = {i: column // per_line for i, (column, _) in places.items()}
    top, broken = 0.0, {}
    for line in range(1 + max(lines.values())):
        rows = {i: places[i][1] for i in places if lines[i] == line}
        broken |= {i: (places[i][0] % per_line, top + row - min(rows.values())) for i, row in rows.items()}
        top += 1 + max(rows.values()) - min(rows.values())
    return lines, broken


def _draw_break(axes: Axes, start: tuple[float, float], end: tuple[float, float], name: str) -> None:
    """Draw an edge to another line: an arrow out of one box, and one from its name into the other box."""
    look = {"arrowstyle": "-|>", "mutation_scale": 9, "color": MUTED, "linewidth": 0.9, "linestyle": (0, (3, 2))}
    half, reach = BOX[0] / 2, 0.85
    for (x, y), tail, head in ((start, half, reach), (end, -reach, -half)):
        axes.add_patch(FancyArrowPatch((x + tail, y), (x + head, y), **look))
    axes.text(end[0] - reach, end[1], name, fontsize=SMALL - 1, color=INK, ha="right", va="center", parse_math=False)


def _draw_edge(axes: Axes, start: tuple[float, float], end: tuple[float, float], local: Any, written: list) -> None:
    (x0, y0), (x1, y1) = (start[0] + BOX[0] / 2, start[1]), (end[0] - BOX[0] / 2, end[1])
    bend = 0.0 if abs(y1 - y0) < 1e-6 and x1 - x0 < WIDE else 0.08
    arrow = FancyArrowPatch(
        (x0, y0),
        (x1, y1),
        arrowstyle="-|>",
        mutation_scale=9,
        color=MUTED,
        linewidth=0.9,
        connectionstyle=f"arc3,rad={bend}",
    )
    axes.add_patch(arrow)
    if local is not None and np.size(local) == 1:
        look = {"fontsize": SMALL - 1.5, "color": MUTED, "ha": "center", "va": "center"}
        x, y = max(_label_places((x0, y0), (x1, y1)), key=lambda place: _room(place, written))
        written.append((x, y))
        axes.text(
            x,
            y,
            format_value(float(f"{np.ravel(local)[0]:.3g}")),
            path_effects=[withStroke(linewidth=2.5, foreground=PAPER)],
            zorder=3,
            **look,
        )


def _label_places(start: Spot, end: Spot) -> list[Spot]:
    """Where a number beside an edge lies between two columns, and so under no box: near its start, near its end."""
    gap, length = (WIDE - BOX[0]) / 2, end[0] - start[0]
    shares = (0.5, 0.3, 0.7) if length < WIDE else (gap / length, 1 - gap / length)
    return [(start[0] + s * (end[0] - start[0]), start[1] + s * (end[1] - start[1]) + 0.13) for s in shares]


def _room(place: Spot, written: list[Spot]) -> float:
    """The distance of a place from the nearest number that is written already."""
    return min((math.dist(place, other) for other in written), default=math.inf)


def _draw_node(axes: Axes, graph: Graph, node: Node, spot: tuple[float, float]) -> None:
    (x, y), (width, height) = spot, BOX
    ground = {"input": "#eef4fa", "constant": "#f4f4f4"}.get(node.op, PAPER)
    edge = INK if node.index == graph.output.index else MUTED
    corner = (x - width / 2, y - height / 2)
    axes.add_patch(
        FancyBboxPatch(
            corner,
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.09",
            facecolor=ground,
            edgecolor=edge,
            linewidth=1.1,
            zorder=4,
        )
    )
    words = node.name if not node.inputs else style.shorten(f"{node.name} = {_formula(graph, node)}", 16)
    look = {"ha": "center", "va": "center", "zorder": 5, "parse_math": False}
    axes.text(x, y + 0.25, words, fontsize=SMALL - 1, color=INK, fontweight="bold" if not node.inputs else None, **look)
    if node.shape:
        _draw_maps(axes, node, spot)
        return
    axes.text(x, y + 0.02, format_value(node.value), fontsize=SMALL, color=BLUE, **look)
    if node.adjoint is not None:
        axes.text(x, y - 0.22, format_value(node.adjoint), fontsize=SMALL, color=VERMILLION, **look)


def _formula(graph: Graph, node: Node) -> str:
    """The formula of a node from names and numbers, or the name of its operation."""
    text = graph.formula(node)
    return text if len(text) <= 12 else node.op


def _magnitudes(array: Any) -> np.ndarray | None:
    """(rows, rest) of the sizes of the entries; None where there are none, or they are no numbers, as of a random key."""
    if array is None or not np.size(array):
        return None
    try:
        sizes = np.abs(np.asarray(array)).astype(float)
    except TypeError:
        return None
    return sizes.reshape(len(sizes) if sizes.ndim > 1 else 1, -1)


def _draw_maps(axes: Axes, node: Node, spot: tuple[float, float]) -> None:
    """Draw small maps of an array and of its adjoint, each with its own scale, with shape and norms."""
    x, y = spot
    for side, (array, colors, ink) in enumerate(((node.value, "Blues", BLUE), (node.adjoint, "Reds", VERMILLION))):
        flat = _magnitudes(array)
        if flat is None:
            continue
        left = x + (-0.56 if side == 0 else 0.04)
        axes.imshow(
            flat,
            cmap=colors,
            vmin=0,
            aspect="auto",
            extent=(left, left + 0.52, y - 0.17, y + 0.12),
            zorder=5,
            interpolation="nearest",
        )
        norm = f"{np.linalg.norm(flat):.3g}"
        axes.text(left + 0.26, y - 0.28, norm, fontsize=SMALL - 2, color=ink, ha="center", va="center", zorder=6)
    axes.text(
        x, y - 0.47, "×".join(map(str, node.shape)), fontsize=SMALL - 2, color=MUTED, ha="center", va="center", zorder=5
    )
