"""Why cross-entropy for outputs that are probabilities: is the quadratic cost flat where the output is wrong?

    python -m experiments.quadratic_or_cross_entropy [--out lab]

The lecture gives both costs with dJ/dy and shows a figure (Glorot & Bengio 2010, their figure 5) without numbers: both as
surfaces over one weight of each layer of a two-layer network, with cross-entropy on top. Here the network has 2 inputs, 3
tanh units and a sigmoid, 40 random points with random targets, and fixed other weights. The difference is the sigmoid:
dJ/dz = (y - t) σ'(z) for the quadratic cost and y - t for cross-entropy, and σ' is at most 1/4, and almost 0 where the
output is confidently wrong. The lecture has no example of one neuron; the classical one is Nielsen's (2015, chapter 3):
input 1, target 0, rate 0.15, outputs 0.82 and 0.98 at the start, and 0.09 and 0.20 after 300 steps with the quadratic cost.

Expected: the slope is below 0.01 on 50 % of the plane with the quadratic cost, and on 0.5 % with cross-entropy (45 to 53 %,
0.3 to 1.2 % in nine draws); four times the quadratic cost, which is as steep as cross-entropy at z = 0, is still flat on 23
%. The neuron needs 273 and 469 steps to an output of 0.1, with cross-entropy 41 and 50; the ratio of its first gradients is
σ'(z), 0.149 and 0.0177. About 10 s.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax.plots import style
from gdjax.stopping import never, target

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    rate: float = 0.15
    """The rate of the neuron."""


COSTS = {"quadratic": "quadratic", "cross-entropy": "binary_cross_entropy"}
GOALS = {"quadratic": 0.1**2 / 2, "cross-entropy": -np.log1p(-0.1)}  # the cost of an output of 0.1, target 0
BOOK = {(0.6, 0.9): (0.82, 0.09), (2.0, 2.0): (0.98, 0.20)}  # w, b: the output at the start and after 300 steps
FLAT = 0.01


def cost(w1, w2, drawn, kind: str):
    """The cost of a network with one weight of each layer replaced."""
    x, y, (first, second) = drawn
    params = {**first, "w": first["w"].at[0, 0].set(w1)}, {**second, "w": second["w"].at[0, 0].set(w2)}
    return gd.backprop.cost_of(params, x, y, ("tanh", "sigmoid"), kind)


@functools.partial(jax.jit, static_argnums=3)
def with_slopes(w1, w2, drawn, kind):
    at = jax.value_and_grad(cost, argnums=(0, 1))
    return jax.vmap(jax.vmap(lambda w1, w2: at(w1, w2, drawn, kind)))(w1, w2)


def surface(name, seed: int = 0):
    """The cost over both weights from -10 to 10: the weights (2, n, n), the cost and its slope (n, n)."""
    rng = np.random.default_rng(seed)
    params = gd.models.mlp((2, 3, 1), activation="tanh").init(jax.random.key(seed))
    drawn = rng.normal(size=(40, 2)), rng.integers(0, 2, size=(40, 1)), params
    weights = np.stack(np.meshgrid(*[np.linspace(-10, 10, 81)] * 2))
    value, gradient = with_slopes(*weights, drawn, COSTS[name])
    return weights, np.asarray(value), np.hypot(*gradient)


def neuron(start, name, rate: float):
    """One sigmoid of input 1 with target 0: the gradient at the start, the outputs of 500 steps, the steps to 0.1."""
    w, b = start
    case = jnp.ones(1), jnp.zeros(1), "sigmoid", COSTS[name]
    params = ({"w": jnp.full((1, 1), w), "b": jnp.full(1, b)},)
    of = lambda params: gd.backprop.cost_of(params, *case)  # noqa: E731
    gradient = gd.backprop.backpropagate(params, *case).gradients[0]["w"].item()
    path = gd.minimize(of, params, gd.sgd(rate), stop=never(), max_steps=500, record=True).path.params[0]
    steps = gd.minimize(of, params, gd.sgd(rate), stop=target(GOALS[name])).steps
    return gradient, np.ravel(jax.nn.sigmoid(path["w"][:, 0] + path["b"])), int(steps)


def draw_surfaces(surfaces):
    """Both surfaces in one picture, as the lecture's figure has them: black above, red below."""
    figure = style.figure(5.2, "Cross-entropy lies on top, steep where the quadratic cost is flat")
    axes = figure.add_subplot(projection="3d")
    looks = {"quadratic": style.VERMILLION, "cross-entropy": style.INK}
    for name, (weights, value, slope) in surfaces.items():
        shade = {"quadratic": 0.85, "cross-entropy": 0.45}[name]
        axes.plot_surface(*weights, value, color=looks[name], alpha=shade, rcount=40, ccount=40, linewidth=0)
        label = f"{name}: slope below {FLAT} on {np.mean(slope < FLAT):.1%} of the plane"
        axes.plot([], [], "s", color=looks[name], label=label)
    axes.set_xlabel("w1, first layer", fontsize=style.NORMAL, labelpad=8)
    axes.set_ylabel("w2, second layer", fontsize=style.NORMAL, labelpad=8)
    axes.set_zlabel("cost", fontsize=style.NORMAL)
    axes.set(xticks=[-10, 0, 10], yticks=[-10, 0, 10])
    axes.view_init(18, -60)
    figure.legend(loc="outside lower center", fontsize=style.SMALL, frameon=False)
    return figure


def draw_neuron(learned, rate: float):
    """The output of one neuron by step, from both starts."""
    figure = style.figure(3.6, "From a wrong start the quadratic cost waits, cross-entropy does not")
    for axes, start in zip(figure.subplots(1, 2, sharey=True), BOOK, strict=True):
        style.dress(axes)
        style.rule(axes)
        for name, color, line in zip(COSTS, (style.VERMILLION, style.INK), ("--", "-"), strict=True):
            _, outputs, steps = learned[start, name]
            axes.plot(outputs, line, color=color, linewidth=2, label=f"{name}: {steps} steps to 0.1")
        axes.axhline(0.1, color=style.MUTED, linewidth=0.8, linestyle=":")
        axes.set_title(f"from w = {start[0]:g}, b = {start[1]:g}, rate {rate:g}", fontsize=style.NORMAL, loc="left")
        axes.set(xlim=(0, 500), ylim=(0, 1), yticks=np.linspace(0, 1, 6))
        axes.set_xlabel("step", fontsize=style.NORMAL)
        axes.legend(fontsize=style.SMALL, loc="upper center", bbox_to_anchor=(0.5, -0.22), frameon=False)
    figure.axes[0].set_ylabel("output (target 0)", fontsize=style.NORMAL)
    return figure


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        surfaces = {name: surface(name) for name in COSTS}
        (_, low, flat), (_, high, steep) = surfaces.values()
        both = (("quadratic", low, flat), ("4 × quadratic", 4 * low, 4 * flat), ("cross-entropy", high, steep))
        rows = [(name, v.min(), v.max(), np.median(s), 100 * np.mean(s < FLAT)) for name, v, s in both]
        lab.table(("cost over the plane", "lowest", "highest", "median slope", f"slope < {FLAT}, %"), rows)
        lab.claim("cross-entropy lies on top everywhere, as in the lecture's figure", np.all(high > low))
        lab.claim("it is the steeper on over 95 % of the plane", np.mean(steep > flat) > 0.95)
        lab.claim("and steeper than four times the quadratic on over 80 %", np.mean(steep > 4 * flat) > 0.8)
        flats = np.array([[np.mean(surface(name, seed)[2] < FLAT) for name in COSTS] for seed in range(9)])
        shares = np.percentile(100 * flats, [0, 100], 0).T.flat
        lab.say("  flat share in nine draws, %: {:.0f} to {:.0f}, {:.1f} to {:.1f}".format(*shares))
        lab.claim("in each of nine draws over 35 % of the quadratic cost is flat", np.all(flats[:, 0] > 0.35))
        lab.claim("and under 3 % of cross-entropy", np.all(flats[:, 1] < 0.03))

        learned = {(start, name): neuron(start, name, lab.numbers.rate) for start in BOOK for name in COSTS}
        rows = [
            (f"{start}", name, outputs[0], gradient, outputs[300], BOOK[start][1] if name == "quadratic" else "", steps)
            for (start, name), (gradient, outputs, steps) in learned.items()
        ]
        lab.table(("w, b", "cost", "output", "gradient", "after 300 steps", "book", "steps to 0.1"), rows)
        quadratic, entropy = ([learned[start, name] for start in BOOK] for name in COSTS)
        ends = [tuple(outputs[[0, 300]].round(2)) for _, outputs, _ in quadratic]
        lab.claim("the quadratic cost's outputs are the book's, to two digits", ends == list(BOOK.values()))
        ratio = [q[0] / e[0] for q, e in zip(quadratic, entropy, strict=True)]
        told = [jax.grad(jax.nn.sigmoid)(w + b) for w, b in BOOK]
        lab.say(f"  the gradients' ratio: {ratio[0]:.4g} and {ratio[1]:.4g}")
        lab.claim("the gradients' ratio is σ'(z), to 1e-14", np.allclose(ratio, told, rtol=1e-14, atol=0))
        later = [case[1][2] - case[0][2] for case in (quadratic, entropy)]
        lab.claim("the worse start costs over 100 steps more by the quadratic cost", later[0] > 100)
        lab.claim("and fewer than 20 by cross-entropy", 0 < later[1] < 20)
        words = "cross-entropy is the surface on top, quadratic the one below (a figure)"
        ours = f"so over the whole plane; flat are {np.mean(steep < FLAT):.1%} of it and {np.mean(flat < FLAT):.0%}"
        lab.statement("Lecture S2", words, ours=ours, verdict="right", holds=np.all(high > low))
        lab.save(
            draw_surfaces(surfaces),
            "quadratic_or_cross_entropy.png",
            "Both costs over a weight of each layer: cross-entropy steep and on top, the quadratic cost flat below.",
        )
        lab.save(
            draw_neuron(learned, lab.numbers.rate),
            "quadratic_or_cross_entropy_neuron.png",
            "The output of a neuron that should be 0, step by step, from a wrong start and from a worse one.",
        )


if __name__ == "__main__":
    main()
