"""Does one sample's squared error get the same gradient from the formula as from the graph, and does an update lower it?

    python -m experiments.one_sample_mse [--out lab]

The lecture derives dL/dw = 2x(wx + b - y) of L = (y - (wx + b))² twice: by expanding the square, and as the product of the
derivatives of its layers, -2(y - l) times x. It gives no numbers, and says that rate 1e-8 is too small and 1e-1 too large.
Here x = 2, y = 5, w = 0.5, b = 1, so that by hand l = 2, L = 9, dL/dw = -12, dL/db = -6; rate 0.05 leads to w = 1.1, b =
1.3, l = 3.5, L = 2.25. An update multiplies the error y - l by 1 - 2 rate (x² + 1), so that here 0.1 is neither too large
nor too small: it reaches L = 0 at once, and rates above 0.2 increase L. In general rates above 1 / (x² + 1) increase it,
which is 0.1 for x = 3. The same is done for another lecture's layer W x + b = (-1, 24), for which x² becomes |x|² = 30,
with a target (1, 20) of ours, and for a hidden layer of tanh between two linear ones, with weights of ours.

Expected: all ways agree to 1e-12; L decreases from 9 to 2.25, from 20 to 2.888 (a factor 0.38²), and from 11 to 1.2 with
the hidden layer; rate 0.1 lowers L for x <= 2, leaves it unchanged for x = 3, and multiplies it by 2.4² at each update for
x = 4. About 8 s.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import gdjax as gd
from gdjax.backprop import backpropagate, graph
from gdjax.plots import style
from gdjax.plots._landscape import draw_ground
from gdjax.stopping import never

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    rate: float = 0.05
    """The rate of the update of the neuron and of the network; the layer W x + b takes a fifth of it."""


X, Y = 2.0, 5.0
START = {"w": 0.5, "b": 1.0}
LAYER = ({"w": np.array([[1.0, 2, -1, -2], [3, 4, -3, 4]]).T, "b": np.array([5.0, 6])},)
HIDDEN = {"w": np.array([[0.5, -0.25]]), "b": np.array([0.1, 0.2])}
CASES = {  # layers, x, y, the rate in units of that of the one neuron
    "W x + b = (-1, 24)": (LAYER, np.array([1.0, 2, 3, 4]), np.array([1.0, 20]), 0.2),
    "1-2-1, tanh": ((HIDDEN, {"w": np.array([[1.0], [-2]]), "b": np.array([0.3])}), np.array([X]), np.array([Y]), 1.0),
}


def loss(params, x=X):
    return (Y - (params["w"] * x + params["b"])) ** 2


def network_loss(layers, x, y):
    for layer in layers[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return jnp.sum((x @ layers[-1]["w"] + layers[-1]["b"] - y) ** 2)


def along(drawn: gd.backprop.Graph, name: str) -> float:
    """The product of the local derivatives on the only path from a node to the output."""
    node, product = drawn[name], 1.0
    while node.index != drawn.output.index:
        user = next(n for n in drawn.nodes if node.index in n.inputs)
        product *= float(user.local[user.inputs.index(node.index)])
        node = user
    return product


def scalar_ways(lab: Lab) -> dict[str, tuple[float, float]]:
    """dL/dw and dL/db."""
    w, b = START["w"], START["b"]
    drawn, exact = graph(loss, START), jax.grad(loss)(START)
    lab.say(str(drawn))
    one = ({"w": np.array([[w]]), "b": np.array([b])},)
    (by_hand,) = backpropagate(one, np.array([X]), np.array([Y]), "identity", "quadratic").gradients
    return {
        "multiplied out: 2wx² + 2xb - 2yx": (2 * w * X**2 + 2 * X * b - 2 * Y * X, 2 * b + 2 * w * X - 2 * Y),
        "gathered: 2x(wx + b - y)": (2 * X * (w * X + b - Y), 2 * (w * X + b - Y)),
        "layers: -2(y - l) times x": (along(drawn, "w"), along(drawn, "b")),
        "adjoints of the graph": (float(drawn["w"].adjoint), float(drawn["b"].adjoint)),
        "2 × BP1 to BP4 of ½(l - y)²": (2 * float(by_hand["w"][0, 0]), 2 * float(by_hand["b"][0])),
        "jax.grad": (float(exact["w"]), float(exact["b"])),
    }


def network_ways(layers, x, y) -> dict:
    """The gradient of a network's loss, as one vector, computed in each way."""
    h = [x]
    for layer in layers[:-1]:
        h.append(np.tanh(h[-1] @ layer["w"] + layer["b"]))
    error = 2 * (h[-1] @ layers[-1]["w"] + layers[-1]["b"] - y)
    formula = [{"w": np.outer(h[-1], error), "b": error}]
    if len(layers) == 2:
        below = (layers[1]["w"] @ error) * (1 - h[1] ** 2)
        formula.insert(0, {"w": np.outer(x, below), "b": below})
    drawn = graph(lambda layers: network_loss(layers, x, y), jax.tree.map(jnp.asarray, layers))
    names = ["tanh"] * (len(layers) - 1) + ["identity"]
    found = {
        "formula": formula,
        "graph": [node.adjoint for node in drawn.inputs],
        "BP1 to BP4": jax.tree.map(lambda g: 2 * g, backpropagate(layers, x, y, names, "quadratic").gradients),
        "jax.grad": jax.grad(network_loss)(layers, x, y),
    }
    return {way: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(g)]) for way, g in found.items()}


def loss_after(loss, params, rate, *args, updates: int = 1):
    """The loss after steps of descent."""
    return gd.minimize(loss, params, gd.sgd(rate), stop=never(), max_steps=updates, args=args).last.value


def picture(rates, after):
    figure = style.figure(4.2, "One update: rate 0.1 lands on the valley's floor, 0.2 as high again")
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    draw_ground(figure, left, lambda p: loss({"w": p[0], "b": p[1]}), [(0, 3.2), (0, 3)], ("w", "b"))
    left.plot([0, 3.2], [Y, Y - 3.2 * X], color=style.INK, linestyle="--", label="L = 0: 2w + b = 5")
    left.plot(START["w"], START["b"], "X", color=style.INK, markersize=12, label="start: L = 9", linestyle="none")
    left.set_ylim(0, 3)
    right.plot(rates, after, color=style.MUTED, label="9 (1 − 10 rate)²")
    for rate, color, marker in zip((1e-8, 0.05, 0.1, 0.2), style.PALETTE, "os^D", strict=False):
        slope = jax.grad(loss)(START)
        end = [START[name] - rate * float(slope[name]) for name in "wb"]
        value = loss(dict(zip("wb", end, strict=True)))
        words = f"rate {style.number(rate)}: L = {value:.3g}"
        left.plot([START["w"], end[0]], [START["b"], end[1]], color=style.INK, linewidth=1, zorder=1.9)
        left.plot(*end, marker, color=color, markersize=8)
        right.plot(rate, value, marker, color=color, markersize=9, label=words, linestyle="none")
    style.dress(right)
    style.rule(right)
    right.set_xlabel("rate of the update", fontsize=style.NORMAL)
    right.set_ylabel("L after the update", fontsize=style.NORMAL)
    style.legend(left)
    style.legend(right)
    return figure


def updates(lab: Lab, first_rate: float) -> None:
    """An update of the neuron, of the lecture's layer and of a hidden layer."""
    moved = {"w": START["w"] + 12 * first_rate, "b": START["b"] + 6 * first_rate}
    rows = [("one neuron", 2, loss(START), loss(moved), loss_after(loss, START, first_rate), "")]
    for name, (layers, x, y, share) in CASES.items():
        rate = share * first_rate
        found = network_ways(layers, x, y)
        apart = max(np.max(np.abs(g / found["jax.grad"] - 1)) for g in found.values())
        flat, unflatten = ravel_pytree(layers)
        by_hand = network_loss(unflatten(flat - rate * found["formula"]), x, y)
        after = loss_after(network_loss, layers, rate, x, y)
        rows.append((name, flat.size, network_loss(layers, x, y), by_hand, after, apart))
    lab.table(("network", "parameters", "L", "updated by hand", "by gd.sgd", "ways differ by, relative"), rows)
    lab.claim("in both networks the four ways agree to 1e-12", max(row[5] for row in rows[1:]) <= 1e-12)
    lab.claim("an update by hand leads where gd.sgd does", all(abs(row[3] / row[4] - 1) < 1e-12 for row in rows))
    lab.claim("it takes L from 9 to 2.25", abs(rows[0][4] - 2.25) < 1e-12)
    lab.claim("the lecture's layer goes from 20 to 20 × 0.38²", abs(rows[1][4] - 20 * 0.38**2) < 1e-12)
    lab.claim("with the hidden layer L goes from 11.00 to 1.197", np.allclose(rows[2][2:5:2], (11, 1.197), 0, 5e-3))


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        ways, first_rate = scalar_ways(lab), lab.numbers.rate
        lab.table(("one neuron", "dL/dw", "dL/db"), [(name, *found) for name, found in ways.items()])
        lab.claim("all six give -12 and -6", np.max(np.abs(np.array(list(ways.values())) - [-12, -6])) <= 1e-12)

        updates(lab, first_rate)

        rates, inputs = np.linspace(0, 0.23, 47), np.arange(5.0)
        after = np.array(jax.vmap(lambda rate: loss_after(loss, START, rate))(rates))
        lab.claim("every rate gives L = 9 (1 - 10 rate)²", np.max(np.abs(after - 9 * (1 - 10 * rates) ** 2)) < 1e-12)
        small, big = (
            np.array(
                jax.vmap(lambda x, rate=rate: loss_after(loss, START, rate, x, updates=3) / loss(START, x))(inputs)
            )
            for rate in (1e-8, 1e-1)
        )
        head = ("x", "1 / (x² + 1)", "share of L that 3 updates of 1e-8 take", "L / first after 3 of 0.1")
        lab.table(head, zip(inputs, 1 / (inputs**2 + 1), 1 - small, big, strict=True))
        lab.claim("three updates of 1e-8 take 2e-6 of L at most", np.all((1 - small > 5e-8) & (1 - small < 2.1e-6)))
        lab.claim("0.1 lowers L where x <= 2, leaves it at 3", np.all(big[:3] < 0.3) and abs(big[3] - 1) < 1e-12)
        lab.claim("at x = 4 it raises L, by 2.4² an update", abs(big[4] / 2.4**6 - 1) < 1e-12)
        words = "dL/dw = 2x(wx + b - y), by expanding the square, and as the product of its layers' derivatives"
        apart = np.max(np.ptp(list(ways.values()), axis=0))
        ours = f"{ways['jax.grad'][0]:g} by all {len(ways)} ways, to {apart:.1g}"
        lab.statement("Lecture S4", words, ours=ours, verdict="right", holds=apart <= 1e-12)
        words = "rate 1e-8 is too small"
        ours = f"three updates take at most {np.max(1 - small):.0e} of L"
        lab.statement("Lecture S4", words, ours=ours, verdict="right", holds=np.max(1 - small) < 1e-4)
        words, raised = "rate 1e-1 is too big: overshooting", inputs[big > 1 + 1e-9]
        said = " and ".join(f"{x:g}" for x in raised)
        ours = f"for x = {said} alone of 0 to {inputs[-1]:g}; for x = 2 three updates leave {big[2]:.1g} of L. The limit is "
        judged = {"holds": len(raised) == len(inputs), "partly": len(raised) > 0}
        lab.statement("Lecture S4", words, ours=f"{ours}1 / (x² + 1)", verdict="imprecise", **judged)
        lab.save(
            picture(rates, after),
            "one_sample_mse.png",
            "One update at four rates: on the plane of weight and bias, and as the loss that it leads to.",
        )


if __name__ == "__main__":
    main()
