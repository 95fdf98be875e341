"""How many numbers does a network learn, and how many more must be stored for training?

    python -m experiments.count_parameters [--out lab] [--inputs 3] [--hidden 4] [--outputs 2]

The lecture draws a network of 3 inputs, 4 hidden units and 2 outputs and counts 4 + 2 = 6 neurons (inputs are none), 3·4 +
4·2 = 20 weights, one for each edge, and 20 + 4 + 2 = 26 learnable parameters, with one bias for each neuron. In general
layer l has (n_{l-1} + 1) n_l parameters, so that nearly all of them are between wide layers. They are counted in four
independent ways: by this formula, from the arrays of `gd.models.mlp`, as inputs of the computational graph, and in the
matrices with the bias folded in as one more row. A parameter in float32 has 4 bytes; training also stores its gradient and
the optimizer's state.

Expected: 6, 20, 26 in all four ways; 23,860 for 784-30-10; in 784-512-256-128-10 the first of four layers has 71 % of the
parameters. Memory in training, in multiples of that of the parameters: 2 for descent, 3 with momentum, 4 for Adam, 25 for
L-BFGS with its ten pairs, and 2.01 for Adafactor, which stores sums of rows and columns instead of entries. About 8 s.
"""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax.plots import style

from .lab import Lab

DIGITS, DEEP = (784, 30, 10), (784, 512, 256, 128, 10)
NETWORKS = ((64, 32, 10), DIGITS, DEEP)
OPTIMIZERS = {  # and how many arrays like the parameters each must keep, the parameters and their gradient included
    "descent": (gd.sgd(0.1), 2),
    "momentum": (gd.sgd(0.1, momentum=0.9), 3),
    "Adam": (gd.adam(1e-3), 4),
    "Adafactor": (gd.adafactor(1e-3), None),
    "L-BFGS": (gd.lbfgs(memory_size=10), None),
}


@dataclasses.dataclass(frozen=True)
class Numbers:
    inputs: int = 3
    """Inputs of the network that is drawn."""
    hidden: int = 4
    """Its hidden units."""
    outputs: int = 2
    """Its outputs."""


def name(sizes) -> str:
    return "-".join(map(str, sizes))


def shapes(sizes):
    """The shapes of the parameters in float32, without computing them."""
    drawn = jax.eval_shape(gd.models.mlp(sizes, activation="tanh").init, jax.random.key(0))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.float32), drawn)


def by_formula(sizes) -> tuple[int, int]:
    """Weights and biases."""
    return sum(a * b for a, b in itertools.pairwise(sizes)), sum(sizes[1:])


def by_graph(sizes) -> tuple[int, int]:
    """The count of numbers on which the cost depends, from the nodes of its graph."""
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes(sizes))
    x, y = jnp.ones(sizes[0]), jnp.eye(sizes[-1])[0]
    graph = gd.backprop.graph(lambda params: gd.backprop.cost_of(params, x, y), params)
    counts = {node.name: int(np.prod(node.shape)) for node in graph.inputs}
    return tuple(sum(count for path, count in counts.items() if letter in path) for letter in "wb")


def by_folding(sizes) -> int:
    return sum(jax.eval_shape(gd.backprop.fold_bias, layer).size for layer in shapes(sizes))


def training_bytes(optimizer, params) -> int:
    """The bytes of parameters, gradient and optimizer state."""
    kept = params, params, jax.eval_shape(optimizer.init, params)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept))


def draw_network(axes, sizes):
    """Units as circles, inputs hollow, weights as lines."""
    spots = [[(3 * layer, (n - 1) / 2 - unit) for unit in range(n)] for layer, n in enumerate(sizes)]
    for left, right in itertools.pairwise(spots):
        for start, end in itertools.product(left, right):
            axes.plot(*zip(start, end, strict=True), color=style.BLUE, linewidth=1, alpha=0.7, zorder=1)
    a, b, c = sizes
    words = f"{a} inputs", f"{b} hidden units:\n{b} biases", f"{c} outputs:\n{c} biases"
    low = -max(sizes) / 2 - 0.1
    for units, text, face in zip(spots, words, (style.PAPER, style.ORANGE, style.ORANGE), strict=True):
        axes.scatter(*zip(*units, strict=True), s=420, facecolor=face, edgecolor=style.INK, zorder=2)
        axes.text(units[0][0], low, text, ha="center", va="top", fontsize=style.SMALL)
    for x, text in ((1.5, f"{a}·{b} = {a * b}\nweights"), (4.5, f"{b}·{c} = {b * c}\nweights")):
        axes.text(x, -low, text, ha="center", fontsize=style.SMALL, color=style.BLUE)
    axes.set(xlim=(-0.9, 6.9), ylim=(low - 1, 1 - low))
    edges, biases = by_formula(sizes)
    axes.set_title(
        f"{name(sizes)}: {edges} weights + {biases} biases = {edges + biases}", fontsize=style.NORMAL, loc="left"
    )
    axes.axis("off")


def picture(layers, own):
    figure = style.figure(3.6, "Most parameters are where two wide layers meet")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    draw_network(left, own)
    style.dress(right)
    counts = np.array([layer.total for layer in layers])
    names = [f"layer {i + 1}:\n{a} → {b}" for i, (a, b) in enumerate(itertools.pairwise(DEEP))]
    right.barh(names, counts, color=style.BLUE)
    for i, count in enumerate(counts):
        right.text(count + 6e3, i, f"{count:,}  ({count / counts.sum():.1%})", va="center", fontsize=style.SMALL)
    right.invert_yaxis()
    right.set_xlim(0, 640e3)
    right.set_xticks([0, 2e5, 4e5], ["0", "200,000", "400,000"])
    biases = sum(layer.biases for layer in layers) / counts.sum()
    right.set_xlabel(f"parameters, of which {biases:.2%} biases", fontsize=style.NORMAL)
    right.set_title(f"{name(DEEP)}: {counts.sum():,}", fontsize=style.NORMAL, loc="left")
    return figure


def memory(lab: Lab, size: int) -> None:
    """What training the deep network keeps, by the optimizer; its parameters take `size` bytes."""
    need = {method: training_bytes(optimizer, shapes(DEEP)) for method, (optimizer, _) in OPTIMIZERS.items()}
    times = {method: kept / size for method, kept in need.items()}
    told = {method: arrays for method, (_, arrays) in OPTIMIZERS.items()}
    rows = [(method, kept / 2**20, times[method] - 2, times[method], told[method]) for method, kept in need.items()]
    title = f"memory while {name(DEEP)} is trained at float32: parameters, gradient, what the optimizer keeps"
    lab.table(("trained by", "MiB", "optimizer / parameters", "all / parameters", "by counting"), rows, title)
    exact = all(abs(times[method] - told[method]) < 1e-4 for method in ("descent", "momentum", "Adam"))
    lab.claim("descent keeps 2 numbers a parameter, momentum 3, Adam 4, within 0.0001 (a counter)", exact)
    lab.claim("Adafactor remembers under 2 % of what it trains", 0 < times["Adafactor"] - 2 < 0.02)
    lab.claim("L-BFGS remembers its ten pairs and more: over 20 copies", times["L-BFGS"] - 2 > 20)


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        own = dataclasses.astuple(lab.numbers)
        summaries = {sizes: gd.summary(shapes(sizes)) for sizes in dict.fromkeys((own, *NETWORKS))}
        rows = [
            (
                name(sizes),
                sum(sizes[1:]),
                s.weights,
                s.biases,
                s.total,
                "6, 20, 26" if sizes == (3, 4, 2) else "",
                s.bytes,
            )
            for sizes, s in summaries.items()
        ]
        lab.table(("network", "neurons", "weights", "biases", "parameters", "lecture", "bytes at float32"), rows)
        lab.claim("3-4-2 has the lecture's 6 neurons, 20 weights, 26 parameters", rows[0][1:5] == (6, 20, 6, 26))
        rows_of_lecture = rows[0]
        counted = {sizes: (s.weights, s.biases) for sizes, s in summaries.items()}
        lab.claim("the formula counts the same", all(by_formula(sizes) == count for sizes, count in counted.items()))
        small = own, DIGITS
        lab.claim("so do the graphs of 3-4-2 and 784-30-10", all(by_graph(sizes) == counted[sizes] for sizes in small))
        folded = all(by_folding(sizes) == sum(count) for sizes, count in counted.items())
        lab.claim("so do matrices with the bias folded in", folded)
        lab.claim("784-30-10 has 23,860", summaries[DIGITS].total == 23_860)
        layers = [gd.summary(layer) for layer in shapes(DEEP)]
        share = layers[0].total / summaries[DEEP].total
        lab.claim(f"of the deep one {share:.1%} are in the first of four layers: 70 to 72", 0.70 < share < 0.72)

        memory(lab, summaries[DEEP].bytes)
        ours = (
            f"{rows_of_lecture[1]} neurons, {rows_of_lecture[2]} weights, {rows_of_lecture[4]} parameters, in four ways"
        )
        says, same = "3-4-2 has 6 neurons, 20 weights and 26 parameters", rows_of_lecture[1:5] == (6, 20, 6, 26)
        lab.statement("Lecture S2", says, ours=ours, verdict="right", holds=same)
        second = shapes(own)[1]["w"].shape
        says = "the weights of the second layer are of R^(M x D2)"
        ours = f"D1 x D2, in {name(own)} {second[0]} x {second[1]}: they take the first layer's D1 units"
        lab.statement("Lecture S2", says, ours=ours, verdict="wrong", holds=second == (own[0], own[2]))
        lab.save(
            picture(layers, own),
            "count_parameters.png",
            "Left: the edges of 3-4-2 are its weights. Right: the parameters of a deep network, layer by layer.",
        )


if __name__ == "__main__":
    main()
