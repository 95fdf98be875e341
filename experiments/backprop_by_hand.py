"""Do the four equations of backpropagation give the gradient of jax.grad, and what do they cost?

    python -m experiments.backprop_by_hand [--out lab] [--rows 32]

The lecture computes the forward pass, then the error of the last layer (BP1), propagates it back through the weights (BP2),
and reads off the gradients of biases and weights (BP3, BP4), for one example; for a mini-batch it takes their mean. It has
no numbers. Here the equations are compared with jax.grad in 36 networks on digits: 1, 2 or 4 hidden layers of 3 or 20
units, three activations, a quadratic or a cross-entropy cost, one example or a mini-batch of 32; and in a 4-3-2 network on
one iris flower, with weights of one decimal.

Expected: all agree within 1e-12, mostly 1e-15, and agree with differences of the cost; the gradient of a batch is the mean
over its examples; the same holds for the matrix forms of D = X W, and with the bias folded into the weights. A forward and
backward pass takes 3 matrix products for each one of the forward pass, except the product of BP2 that the first layer does
not need: 2.905 in a 64-300-300-300-10 network, which the compiler's count confirms. Both take the time of 2 to 4 forward
passes. About 24 s.
"""

from __future__ import annotations

import dataclasses
import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits, load_iris

from gdjax.backprop import backpropagate, check_gradients, cost_of, fold_bias, product_gradients, table, with_ones
from gdjax.plots import style

from .lab import Lab

DEPTHS, WIDTHS, ACTIVATIONS = (1, 2, 4), (3, 20), ("sigmoid", "tanh", "relu")
HEADS = {"quadratic": "sigmoid", "cross_entropy": "softmax"}
LARGE = (64, 300, 300, 300, 10)


@dataclasses.dataclass(frozen=True)
class Numbers:
    rows: int = 32
    """The batch of the large network that is timed."""


def digits(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 64) in [0, 1], classes (n, 10) one-hot."""
    data = load_digits()
    return data.data[:n] / 16, np.eye(10)[data.target[:n]]


def network(sizes, seed: int):
    """Random weights and biases."""
    rng = np.random.default_rng(seed)
    return tuple(
        {"w": rng.normal(size=(a, b)) / np.sqrt(a), "b": rng.normal(size=b) / 4} for a, b in itertools.pairwise(sizes)
    )


def difference(found, told) -> float:
    """The largest difference in any leaf, relative to the leaf's largest entry."""
    pairs = zip(*(map(np.asarray, jax.tree.leaves(tree)) for tree in (found, told)), strict=True)
    return max(float(np.max(np.abs(a - b)) / np.maximum(np.max(np.abs(b)), 1e-300)) for a, b in pairs)


def compare() -> list[tuple]:
    """(activation, cost, hidden layers, width, difference for one example, for a batch) of each network."""
    x, y = digits(32)
    rows = []
    for cost, activation, depth, width in itertools.product(HEADS, ACTIVATIONS, DEPTHS, WIDTHS):
        params = network((64, *[width] * depth, 10), depth)
        names = (activation, HEADS[cost])
        off = [
            difference(
                backpropagate(params, *some, names, cost).gradients, jax.grad(cost_of)(params, *some, names, cost)
            )
            for some in ((x[0], y[0]), (x, y))
        ]
        rows.append((activation, cost, depth, width, *off))
    return rows


def forms() -> dict[str, float]:
    """The differences of equivalent forms, on one network and batch."""
    x, y = digits(32)
    params = network((64, 20, 10), 0)
    found = backpropagate(params, x, y)
    each = jax.vmap(lambda x, y: backpropagate(params, x, y).gradients)(x, y)
    d_out = found.delta[0] / len(x)
    d_in, d_w = product_gradients(x, params[0]["w"], d_out)
    folded = [fold_bias(layer) for layer in params]

    def cost(folded):
        layers = [{"w": w, "b": jnp.zeros(w.shape[1])} for w in folded]
        hidden = with_ones(jnp.tanh(with_ones(x) @ folded[0]))
        return cost_of(layers[1:], hidden, y, "softmax")

    inner = jax.grad(lambda x: cost_of(params, x, y))(x)
    return {
        "mean over 32 instances, one by one": difference(jax.tree.map(lambda g: g.mean(axis=0), each), found.gradients),
        "dL/dW = X' dL/dD of the first layer": difference(d_w, found.gradients[0]["w"]),
        "dL/dX = dL/dD W' of the first layer": difference(d_in, inner),
        "bias as a row of W, jax.grad of that": difference(
            jax.grad(cost)(folded), [fold_bias(g) for g in found.gradients]
        ),
    }


def errors_of_softmax() -> tuple[float, float]:
    """How far BP1 misses dC/dz of the cross-entropy of a softmax: by elementwise slopes, and by its Jacobian."""
    z, y = jnp.array([1.0, -0.5, 0.2]), jnp.array([1.0, 0, 0])
    exact = jax.grad(lambda z: -jnp.sum(y * jax.nn.log_softmax(z)))(z)
    p = jax.nn.softmax(z)
    found = (-y / p) * p * (1 - p), p - y
    return tuple(float(jnp.max(jnp.abs(each - exact))) for each in found)


def products(n: int) -> tuple[int, int]:
    """Multiplications in the matrix products of a forward pass, and of a forward and backward pass."""
    sizes = [n * a * b for a, b in itertools.pairwise(LARGE)]
    return sum(sizes), 3 * sum(sizes) - sizes[0]


def costs(n: int, repeats: int = 60) -> dict[str, tuple[float, float]]:
    """Operations by the compiler's count, and milliseconds, the best of 60 interleaved rounds."""
    x, y = digits(n)
    params = network(LARGE, 0)
    passes = {
        "forward": jax.jit(lambda p: cost_of(p, x, y)),
        "by hand": jax.jit(lambda p: backpropagate(p, x, y)[3:]),
        "jax.grad": jax.jit(jax.value_and_grad(lambda p: cost_of(p, x, y))),
    }
    ready = {name: f.lower(params).compile() for name, f in passes.items()}
    times: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(repeats):
        for name, f in ready.items():
            began = time.perf_counter()
            jax.block_until_ready(f(params))
            times[name].append(1e3 * (time.perf_counter() - began))
    return {name: (f.cost_analysis()["flops"], min(times[name])) for name, f in ready.items()}


def picture(rows, cost, ratio, n: int):
    figure = style.figure(4.2, "By hand as by jax.grad: equal up to rounding, and as quick")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    for activation, color, marker, shift in zip(ACTIVATIONS, style.PALETTE, "os^", (-2, 0, 2), strict=False):
        points = [
            (DEPTHS.index(row[2]) + 0.1 * shift, error) for row in rows if row[0] == activation for error in row[4:]
        ]
        left.plot(*np.array(points).T, marker, color=color, markersize=5, alpha=0.7, label=activation)
    left.axhline(1e-12, color=style.INK, linestyle="--", linewidth=1)
    left.axhline(np.finfo(float).eps, color=style.MUTED, linestyle=":", linewidth=1)
    left.text(-0.35, 1.3e-12, "1e−12: claimed", fontsize=style.SMALL)
    left.text(2.4, 2.6e-16, "ε", fontsize=style.NORMAL)
    left.set(yscale="log", xlim=(-0.45, 2.55), ylim=(5e-17, 1e-10))
    left.set_xticks(range(len(DEPTHS)), [str(depth) for depth in DEPTHS])
    left.set_yticks([1e-16, 1e-14, 1e-12, 1e-10], ["1e−16", "1e−14", "1e−12", "1e−10"])
    left.minorticks_off()
    left.set_xlabel("hidden layers", fontsize=style.NORMAL)
    left.set_ylabel("largest relative difference", fontsize=style.NORMAL)
    bars = [cost[name][1] / cost["forward"][1] for name in cost]
    right.bar(list(cost), bars, color=style.PALETTE[: len(bars)], width=0.6)
    for i, bar in enumerate(bars):
        right.text(i, bar + 0.06, f"{bar:.2f}", ha="center", fontsize=style.NORMAL)
    right.axhline(ratio, color=style.INK, linestyle="--", linewidth=1)
    top = max(*bars, ratio) * 1.3
    right.text(-0.35, 0.93 * top, f"dashed: {ratio:.3f}, by products", fontsize=style.SMALL)
    right.set_ylim(0, top)
    right.set_ylabel("time / time of a forward pass", fontsize=style.NORMAL)
    for axes in (left, right):
        style.dress(axes)
        style.rule(axes)
    right.set_xlabel(f"64-300-300-300-10, batch of {n}", fontsize=style.NORMAL)
    left.legend(fontsize=style.SMALL, ncols=3, loc="upper right", edgecolor=style.RULE)
    return figure


def draw_pass(params, flower, target, names):
    """A 4-3-2 network on one flower: activations in its units, errors below them."""
    found = backpropagate(params, flower, target, names)
    layers = [np.asarray(a[0]) for a in found.a]
    errors = [None, *(np.asarray(delta[0]) for delta in found.delta)]
    figure = style.figure(4.4, "Activations go forward, errors δ come back, layer by layer")
    axes = figure.subplots()
    axes.set_axis_off()
    spots = [[(2.4 * i, (len(a) - 1) / 2 - k) for k in range(len(a))] for i, a in enumerate(layers)]
    for i, (left, right) in enumerate(itertools.pairwise(spots)):
        for start, end in itertools.product(left, right):
            axes.plot(*zip(start, end, strict=True), color=style.RULE, linewidth=1.5, zorder=1)
        middle, top = 2.4 * i + 1.2, 2.05
        words = (
            ("z = a w + b, a = f(z)", style.BLUE, top, 0),
            ("BP2: δ w' · f'(z)" if i else "", style.VERMILLION, -top, 1),
        )
        for text, color, height, back in words if i else words[:1]:
            way = ((middle - 0.8, height), (middle + 0.8, height))
            arrow = {"arrowstyle": "<-" if back == 0 else "->", "color": color, "linewidth": 1.6}
            axes.annotate("", way[0], way[1], arrowprops=arrow)
            axes.text(middle, height + 0.12, text, ha="center", va="bottom", fontsize=style.SMALL, color=color)
    for units, values, delta in zip(spots, layers, errors, strict=True):
        for k, (x, y) in enumerate(units):
            axes.scatter(x, y, s=1500, facecolor="#eef3f7", edgecolor=style.INK, zorder=2)
            shown = [(values[k], style.BLUE, 0.0 if delta is None else 0.12)]
            shown += [] if delta is None else [(delta[k], style.VERMILLION, -0.14)]
            for number, color, shift in shown:
                text = f"{number:.2f}".replace("-", "−")
                axes.text(x, y + shift, text, ha="center", va="center", fontsize=style.SMALL, color=color, zorder=3)
    axes.set(xlim=(-0.6, 5.4), ylim=(-2.5, 2.6))
    return figure


def agreement(lab: Lab, small, names) -> list[tuple]:
    """The equations against jax.grad, differences of the cost, and their other forms."""
    rows = compare()
    for cost in HEADS:
        chosen = [[row for row in rows if row[:2] == (name, cost)] for name in ACTIVATIONS]
        worst = [(n, *np.max([r[4:] for r in c], axis=0)) for n, c in zip(ACTIVATIONS, chosen, strict=True)]
        title = f"{cost}: largest relative difference from jax.grad"
        lab.table(("activation", "one instance", "batch of 32"), worst, title)
    errors = np.array([row[4:] for row in rows])
    lab.claim(f"all {errors.size} agree with jax.grad to 1e-12", np.all(errors <= 1e-12))
    x, y = load_iris().data[50:110:2], np.repeat(np.eye(2), (25, 5), axis=0)
    checked = check_gradients(
        lambda p: cost_of(p, x, y, names), small, gradient=lambda p: backpropagate(p, x, y, names).gradients
    )
    lab.say(f"  4-3-2 on 30 flowers, by hand against differences of the cost: {checked.summary()}")
    lab.claim("differences of the cost agree, too, to 1e-7", checked.passed and checked.worst.relative < 1e-7)
    found = forms()
    lab.table(("the same in another form", "differs by"), found.items())
    lab.claim("all four are equal to 1e-12", max(found.values()) <= 1e-12)
    words = "the errors of a layer are those of the next, times its weights, times the slope (BP1 to BP4)"
    ours = f"the gradient of jax.grad, to {errors.max():.0e}, in {errors.size} cases"
    lab.statement("Lecture S3", words, ours=ours, verdict="right", holds=np.all(errors <= 1e-12))
    sigmoids, (slopes, jacobian) = errors[[row[1] == "quadratic" for row in rows]].max(), errors_of_softmax()
    lab.statement(
        "Lecture S3",
        "BP1 by elementwise slopes",
        ours=f"to {sigmoids:.0e} for elementwise activations; of a softmax it misses by {slopes:.2g}, where the whole "
        f"Jacobian gives p - y",
        verdict="imprecise",
        holds=max(sigmoids, slopes) <= 1e-12,
        partly=max(sigmoids, jacobian) <= 1e-12,
    )
    return rows


def price(lab: Lab, n: int) -> tuple[dict[str, tuple[float, float]], float]:
    """What each pass costs, and the products of a whole pass over those of the forward one."""
    cost, (forward, whole) = costs(n), products(n)
    told = {"forward": forward, "by hand": whole, "jax.grad": whole}
    base = cost["forward"]
    head = ("pass", "products", "/ forward", "counted operations", "/ forward", "ms", "/ forward")
    rows = [
        (name, told[name], told[name] / forward, count, count / base[0], ms, ms / base[1])
        for name, (count, ms) in cost.items()
    ]
    lab.table(head, rows)
    lab.claim(
        "the compiler counts two operations for each product, to 1.5 %",
        all(abs(count / told[name] / 2 - 1) < 0.015 for name, (count, _) in cost.items()),
    )
    lab.claim("either takes less than 6 forward passes", all(cost[n][1] < 6 * base[1] for n in ("by hand", "jax.grad")))
    return cost, whole / forward


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        small = jax.tree.map(lambda p: p.round(1), network((4, 3, 2), 0))
        flower, target, names = load_iris().data[50], np.array([1.0, 0]), ("sigmoid", "softmax")
        lab.say(str(table(small, flower, target, names)))
        rows = agreement(lab, small, names)
        cost, ratio = price(lab, lab.numbers.rows)
        caption = "One iris flower in a 4-3-2 network: blue the activations, orange the errors, which BP2 carries back."
        lab.save(draw_pass(small, flower, target, names), "backprop_by_hand_pass.png", caption)
        lab.save(
            picture(rows, cost, ratio, lab.numbers.rows),
            "backprop_by_hand.png",
            "Left: how far the gradients are from those of jax.grad. Right: what a pass costs beside a forward one.",
        )


if __name__ == "__main__":
    main()
