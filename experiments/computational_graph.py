"""What does the graph of a computation show: the derivative at every node, the cost of each direction, the value of sharing?

    python -m experiments.computational_graph [--out lab] [--x -2.0] [--y 5.0] [--z -4.0]

The lecture evaluates (x + y) z at (-2, 5, -4): forward q = 3, f = -12, and backward the adjoints -4, -4, 3, with -4 for q
and 1 for f. Another lecture says that backpropagation is efficient because it avoids repeated subexpressions. A third
writes a two-layer network as a table of forward and backward formulas, without numbers (its J and g_y lack the minus sign);
here they are evaluated for six iris flowers, four measurements of versicolor or virginica, and three sigmoid units.

Expected: the lecture's adjoints exactly; those of the table to 1e-12. By the compiler's count, for two layers with 16 units
between them, 4 to 256 inputs and one output, reverse mode costs 2 to 2.4 evaluations, and forward mode at least one for
each input; for one input and many outputs it is the other way round. The k-fold iteration of x -> 4x(1 - x) takes 3k
operations if shared, and 3 (2^k - 1) if written out. About 9 s.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_iris

from gdjax.backprop import graph
from gdjax.plots import computation, style

from .lab import Lab

LECTURE = {"x": -4, "y": -4, "z": 3, "q": -4, "f": 1}
SIZES, UNITS, DEPTHS = (1, 4, 16, 64, 256), 16, (1, 2, 3, 4, 5)


@dataclasses.dataclass(frozen=True)
class Numbers:
    x: float = -2.0
    """The input x of (x + y) z."""
    y: float = 5.0
    """The input y."""
    z: float = -4.0
    """The input z."""


def flowers() -> tuple[np.ndarray, np.ndarray]:
    data = load_iris()
    chosen = [50, 70, 90, 100, 120, 140]
    x = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
    return x[chosen], data.target[chosen] - 1.0


def loss(given, y):
    """The lecture's: linear, sigmoid, linear, sigmoid, cross-entropy; the last two in one, ln(1 + exp(-b)) for class 1."""
    return jnp.sum(jax.nn.softplus((1 - 2 * y) * (jax.nn.sigmoid(given["x"] @ given["alpha"]) @ given["beta"])))


def lecture_table(x, alpha, beta, y) -> tuple[float, dict[str, np.ndarray]]:
    """J and the backward column, by NumPy, for a sum over flowers."""
    a = x @ alpha
    z = 1 / (1 + np.exp(-a))
    b = z @ beta
    p = 1 / (1 + np.exp(-b))
    g_p = -(y / p + (1 - y) / (p - 1))
    g_b = g_p * np.exp(-b) / (np.exp(-b) + 1) ** 2
    g_a = np.outer(g_b, beta) * np.exp(-a) / (np.exp(-a) + 1) ** 2
    J = -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p))
    return J, {"alpha": x.T @ g_a, "beta": z.T @ g_b, "x": g_a @ alpha.T}


def flops(f, *args) -> float:
    return jax.jit(f).lower(*args).compile().cost_analysis()["flops"]


def costs() -> dict[str, np.ndarray]:
    """Operations of a Jacobian relative to those of a value, (sizes, 2): reverse mode, forward mode."""
    rng = np.random.default_rng(0)
    first, last = rng.normal(size=(max(SIZES), UNITS)) / 16, rng.normal(size=(UNITS, max(SIZES))) / 4
    found: dict[str, list] = {"inputs": [], "outputs": []}
    for which, rows in found.items():
        for size in SIZES:
            n, m = (size, 1) if which == "inputs" else (1, size)
            x = jnp.ones(n)

            def f(x, n=n, m=m):
                return jnp.tanh(jnp.tanh(x @ first[:n]) @ last[:, :m])

            rows.append([flops(mode(f), x) / flops(f, x) for mode in (jax.jacrev, jax.jacfwd)])
    return {which: np.array(rows) for which, rows in found.items()}


def logistic_map(x, depth):
    for _ in range(depth):
        x = 4 * x * (1 - x)
    return x


def expand(x, depth):
    """The same function, with every x computed again."""
    if depth == 0:
        return x
    return 4 * expand(x, depth - 1) * (1 - expand(x, depth - 1))


def sharing() -> list[tuple]:
    rows = []
    for depth in DEPTHS:
        one, other = graph(lambda x, k=depth: logistic_map(x, k), 0.3), graph(lambda x, k=depth: expand(x, k), 0.3)
        counted = one.counts()
        apart = abs(one["x"].adjoint / other["x"].adjoint - 1)
        rows.append((depth, counted["operations"], counted["unshared"], other.counts()["operations"], apart))
    return rows


def picture(found, rows):
    figure = style.figure(4.0, "Reverse mode pays for outputs, forward for inputs; sharing pays once")
    reverse, forward, saved = figure.subplots(1, 3)
    words = "reverse mode", "forward mode"
    for axes, (which, each) in zip((reverse, forward), found.items(), strict=True):
        for name, column, color, marker in zip(words, each.T, style.PALETTE, "os", strict=False):
            axes.plot(SIZES, column, color=color, marker=marker, markersize=6, label=name)
        axes.plot(SIZES, SIZES, color=style.MUTED, linestyle=":", label="one for each")
        other = {"inputs": "one output", "outputs": "one input"}[which]
        axes.set(xscale="log", yscale="log", ylim=(0.8, 3000))
        axes.set_xticks(SIZES, [str(size) for size in SIZES])
        axes.set_yticks([1, 2, 10, 100, 1000], ["1", "2", "10", "100", "1000"])
        axes.set_xlabel(f"{which}, {other}", fontsize=style.NORMAL)
    for name, column, color, marker in zip(("written out", "shared"), (3, 1), style.PALETTE[2:], "D^", strict=False):
        saved.plot(DEPTHS, [row[column] for row in rows], color=color, marker=marker, markersize=6, label=name)
    saved.set(ylim=(0, 120), xticks=DEPTHS)
    saved.set_xlabel("times 4x(1 − x)", fontsize=style.NORMAL)
    saved.set_ylabel("operations", fontsize=style.NORMAL)
    reverse.set_ylabel("operations / those of a value", fontsize=style.NORMAL)
    for axes in (reverse, forward, saved):
        style.dress(axes)
        style.rule(axes)
        axes.minorticks_off()
        style.legend(axes)
        axes.get_legend().set_loc("upper left")
    return figure


def columns(x, alpha, beta, y) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """The lecture's table for one flower: name, formula, value, adjoint, from the inputs to J."""
    a = x @ alpha
    z = 1 / (1 + np.exp(-a))
    b = z @ beta
    p = 1 / (1 + np.exp(-b))
    g_p = -(y / p - (1 - y) / (1 - p))
    g_b = g_p * p * (1 - p)
    g_z = g_b * beta
    g_a = g_z * z * (1 - z)
    J = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    return [
        ("x", "four measurements", x, alpha @ g_a),
        ("a", "α x", a, g_a),
        ("z", "σ(a)", z, g_z),
        ("b", "β z", b, g_b),
        ("y", "σ(b)", p, g_p),
        ("J", "cross-entropy", J, np.ones(())),
    ]


def draw_table(x, given, y):
    """The columns as boxes in a chain, the values above in blue, the adjoints below."""
    figure = style.figure(3.4, "Forward the values in blue, backward the adjoints in orange")
    axes = figure.subplots()
    axes.set_axis_off()
    found = columns(x, given["alpha"], given["beta"], y)
    axes.set(xlim=(-0.55, len(found) - 0.45), ylim=(-1.75, 1.75))
    arrow = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "linewidth": 1.4}
    for i, (name, formula, value, adjoint) in enumerate(found):
        box = {"boxstyle": "round,pad=0.35", "facecolor": "#eef3f7", "edgecolor": style.MUTED}
        axes.text(i, 0, name, ha="center", va="center", fontsize=style.LARGE, bbox=box)
        axes.text(i, 0.42, formula, ha="center", va="center", fontsize=style.SMALL, color=style.INK)
        axes.text(i, 0.68, _stacked(value), ha="center", va="bottom", fontsize=style.SMALL, color=style.BLUE)
        axes.text(i, -0.42, _stacked(adjoint), ha="center", va="top", fontsize=style.SMALL, color=style.VERMILLION)
        if i:
            axes.annotate("", (i - 0.24, 0.1), (i - 0.76, 0.1), arrowprops={**arrow, "color": style.BLUE})
            axes.annotate("", (i - 0.76, -0.1), (i - 0.24, -0.1), arrowprops={**arrow, "color": style.VERMILLION})
    return figure


def _stacked(numbers: np.ndarray) -> str:
    return "\n".join(f"{number:.3f}".replace("-", "−") for number in np.ravel(numbers))


def lecture_example(lab: Lab[Numbers]) -> None:
    """(x + y) z at the lecture's point."""
    walked = graph(lambda x, y, z: (x + y) * z, *dataclasses.astuple(lab.numbers))
    lab.say(str(walked))
    found = {name: float(walked[name].adjoint) for name in LECTURE}
    lab.table(("node", "adjoint", "lecture"), [(name, found[name], told) for name, told in LECTURE.items()])
    lab.claim("the adjoints are the lecture's", found == LECTURE)
    lab.claim("q = 3 and f = -12, too", (float(walked["q"].value), float(walked["f"].value)) == (3, -12))
    says = "the gradient of (x + y) z at (-2, 5, -4) is (-4, -4, 3)"
    same = all(found[name] == LECTURE[name] for name in "xyz")
    lab.statement("Lecture S3", says, ours="({x:g}, {y:g}, {z:g})".format(**found), verdict="right", holds=same)
    title = "Values in blue, adjoints in orange, local derivatives on the edges"
    caption = "An adjoint is the sum, over the edges that leave a node, of edge times the adjoint where it ends."
    lab.save(computation(walked, title), "computational_graph.png", caption)


def lecture_network(lab: Lab) -> None:
    """The two-layer network that a lecture writes as a table."""
    (x, y), rng = flowers(), np.random.default_rng(0)
    given = {"alpha": rng.normal(size=(4, 3)), "beta": rng.normal(size=3), "x": x}
    network = graph(lambda given: loss(given, y), given)
    lab.say(str(network))
    J, told = lecture_table(**given, y=y)
    apart = [abs(float(network.output.value) / J - 1)]
    apart += [float(np.max(np.abs(network[name].adjoint / told[name] - 1))) for name in told]
    one = {name: adjoint for name, _, _, adjoint in columns(x[0], given["alpha"], given["beta"], y[0])}
    alone = jax.grad(lambda x0: loss({**given, "x": x0[None]}, y[:1]))(jnp.asarray(x[0]))
    lab.claim("for one flower, too: its table's adjoint of x is jax.grad's", np.allclose(one["x"], alone, atol=1e-12))
    lab.claim("J and the network's adjoints are the lecture's table, to 1e-12", max(apart) <= 1e-12)
    caption = "The lecture's table for one flower: forward a, z, b, y, J above, backward their adjoints below."
    lab.save(draw_table(x[0], given, y[0]), "computational_graph_network.png", caption)
    says = "J = y* log y + (1 - y*) log(1 - y), and its backward column"
    ours = f"J and g_y lack their minus; with it all adjoints agree to {max(apart):.0e}"
    printed = np.isclose(float(network.output.value), -J)
    lab.statement("Lecture S2", says, ours=ours, verdict="wrong", holds=printed)


def modes(lab: Lab) -> dict[str, np.ndarray]:
    """What each direction costs."""
    found = costs()
    rows = [(which, size, *row) for which, given in found.items() for size, row in zip(SIZES, given, strict=True)]
    lab.table(("many", "how many", "reverse / value", "forward / value"), rows)
    lab.claim("reverse mode costs less than 2.5 values for 4 to 256 inputs", np.all(found["inputs"][1:, 0] < 2.5))
    lab.claim("forward mode costs n values or more for n inputs", np.all(found["inputs"][1:, 1] >= SIZES[1:]))
    lab.claim("forward mode costs less than 2.5 for 4 to 256 outputs", np.all(found["outputs"][1:, 1] < 2.5))
    lab.claim("reverse mode costs m values or more for m outputs", np.all(found["outputs"][1:, 0] >= SIZES[1:]))
    return found


def repeated(lab: Lab) -> list[tuple]:
    """What sharing a subexpression saves."""
    rows = sharing()
    lab.table(("4x(1 - x), times", "operations", "counted unshared", "written out", "gradients differ by"), rows)
    lab.claim(
        "3k operations shared, 3 (2^k - 1) written out, as counted",
        all(row[1:4] == (3 * k, 3 * (2**k - 1), 3 * (2**k - 1)) for k, row in zip(DEPTHS, rows, strict=True)),
    )
    lab.claim("the gradient is the same to 1e-12", max(row[4] for row in rows) <= 1e-12)
    says = "backpropagation is efficient since it avoids repeated subexpressions"
    ours = f"{rows[-1][1]} operations shared, {rows[-1][3]} written out, for {rows[-1][0]} turns of 4x(1 - x)"
    lab.statement("Lecture S0", says, ours=ours, verdict="right", holds=rows[-1][1] < rows[-1][3])
    return rows


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        lecture_example(lab)
        lecture_network(lab)
        lab.save(
            picture(modes(lab), repeated(lab)),
            "computational_graph_costs.png",
            "What a derivative costs by many inputs and by many outputs, and what sharing saves.",
        )


if __name__ == "__main__":
    main()
