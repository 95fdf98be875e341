"""Why cross-entropy for outputs that are probabilities: is the quadratic cost flat where the output is wrong?

    python -m experiments.quadratic_or_cross_entropy [--out pictures]

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

import functools

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm

import gdjax as gd
from gdjax.plots import style
from gdjax.stopping import never, target

from .lab import Lab

COSTS = {"quadratic": "quadratic", "cross-entropy": "binary_cross_entropy"}
GOALS = {"quadratic": 0.1**2 / 2, "cross-entropy": -np.log1p(-0.1)}  # the cost of an output of 0.1, target 0
BOOK = {(0.6, 0.9): (0.82, 0.09), (2.0, 2.0): (0.98, 0.20)}  # w, b: the output at the start and after 300 steps
FLAT, RATE = 0.01, 0.15


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


def neuron(start, name):
    """One sigmoid of input 1 with target 0: the gradient at the start, the outputs of 300 steps, the steps to 0.1."""
    w, b = start
    case = jnp.ones(1), jnp.zeros(1), "sigmoid", COSTS[name]
    params = ({"w": jnp.full((1, 1), w), "b": jnp.full(1, b)},)
    of = lambda params: gd.backprop.cost_of(params, *case)  # noqa: E731
    gradient = gd.backprop.backpropagate(params, *case).gradients[0]["w"].item()
    path = gd.minimize(of, params, gd.sgd(RATE), stop=never(), max_steps=300, record=True).path.params[0]
    steps = gd.minimize(of, params, gd.sgd(RATE), stop=target(GOALS[name])).steps
    return gradient, np.ravel(jax.nn.sigmoid(path["w"][:, 0] + path["b"])), int(steps)


def draw_surfaces(figure, surfaces):
    """Draw both surfaces, blue where they are steep and red where they are flat."""
    colors = LinearSegmentedColormap.from_list("slopes", [style.VERMILLION, "#f3e9dc", style.BLUE])
    scale = LogNorm(1e-4, 1, clip=True)
    sides = figure.subplots(1, 2, subplot_kw={"projection": "3d"})
    for axes, (name, (weights, value, slope)) in zip(sides, surfaces.items(), strict=True):
        axes.plot_surface(*weights, value, facecolors=colors(scale(slope)), rcount=81, ccount=81, shade=False)
        axes.set(xlabel="w1, first layer", ylabel="w2, second layer")
        axes.set_title(f"{name}: slope below {FLAT} on {np.mean(slope < FLAT):.1%}", fontsize=style.NORMAL)
        axes.view_init(28, -60)
    bar = figure.colorbar(ScalarMappable(scale, colors), ax=list(sides), shrink=0.7, pad=0.08, extend="min")
    bar.set_label("slope (cost per unit of weight)", fontsize=style.SMALL)


def picture(surfaces, learned):
    figure = style.figure(6.6, "Where the output is badly wrong the quadratic cost is flat and cross-entropy is steep")
    above, below = figure.subfigures(2, 1, height_ratios=(1.35, 1))
    draw_surfaces(above, surfaces)
    for axes, start in zip(below.subplots(1, 2, sharey=True), BOOK, strict=True):
        style.dress(axes)
        style.rule(axes)
        for name, color, line in zip(COSTS, (style.VERMILLION, style.BLUE), ("--", "-"), strict=True):
            _, outputs, steps = learned[start, name]
            axes.plot(outputs, line, color=color, linewidth=2, label=f"{name}: {steps} steps to 0.1")
        axes.axhline(0.1, color=style.MUTED, linewidth=0.8, linestyle=":")
        axes.set_title(f"one neuron from w = {start[0]:g}, b = {start[1]:g}, rate {RATE}", fontsize=style.NORMAL)
        axes.set(xlim=(0, 300), ylim=(0, 1.4), yticks=np.linspace(0, 1, 6))
        axes.set_xlabel("step", fontsize=style.NORMAL)
        axes.legend(fontsize=style.SMALL, loc="upper right", edgecolor=style.RULE)
    below.axes[0].set_ylabel("output (target 0)", fontsize=style.NORMAL)
    return figure


def main() -> None:
    with Lab(__doc__) as lab:
        surfaces = {name: surface(name) for name in COSTS}
        (_, low, flat), (_, high, steep) = surfaces.values()
        both = (("quadratic", low, flat), ("4 × quadratic", 4 * low, 4 * flat), ("cross-entropy", high, steep))
        rows = [(name, v.min(), v.max(), np.median(s), 100 * np.mean(s < FLAT)) for name, v, s in both]
        lab.table(("cost over the plane", "lowest", "highest", "median slope", f"slope < {FLAT}, %"), rows)
        lab.claim("cross-entropy lies on top everywhere, as in the lecture's figure", np.all(high > low))
        lab.claim("it is the steeper on over 95 % of the plane", np.mean(steep > flat) > 0.95)
        lab.claim("and steeper than four times the quadratic on over 80 %", np.mean(steep > 4 * flat) > 0.8)
        flats = np.array([[np.mean(surface(name, seed)[2] < FLAT) for name in COSTS] for seed in range(9)])
        print(
            "  flat share in nine draws, %: {:.0f} to {:.0f}, {:.1f} to {:.1f}".format(
                *np.percentile(100 * flats, [0, 100], 0).T.flat
            )
        )
        lab.claim("in each of nine draws over 35 % of the quadratic cost is flat", np.all(flats[:, 0] > 0.35))
        lab.claim("and under 3 % of cross-entropy", np.all(flats[:, 1] < 0.03))

        print()
        learned = {(start, name): neuron(start, name) for start in BOOK for name in COSTS}
        rows = [
            (f"{start}", name, outputs[0], gradient, outputs[-1], BOOK[start][1] if name == "quadratic" else "", steps)
            for (start, name), (gradient, outputs, steps) in learned.items()
        ]
        lab.table(("w, b", "cost", "output", "gradient", "after 300 steps", "book", "steps to 0.1"), rows)
        quadratic, entropy = ([learned[start, name] for start in BOOK] for name in COSTS)
        ends = [tuple(outputs[[0, -1]].round(2)) for _, outputs, _ in quadratic]
        lab.claim("the quadratic cost's outputs are the book's, to two digits", ends == list(BOOK.values()))
        ratio = [q[0] / e[0] for q, e in zip(quadratic, entropy, strict=True)]
        told = [jax.grad(jax.nn.sigmoid)(w + b) for w, b in BOOK]
        print(f"  the gradients' ratio: {ratio[0]:.4g} and {ratio[1]:.4g}")
        lab.claim("the gradients' ratio is σ'(z), to 1e-14", np.allclose(ratio, told, rtol=1e-14, atol=0))
        later = [case[1][2] - case[0][2] for case in (quadratic, entropy)]
        lab.claim("the worse start costs over 100 steps more by the quadratic cost", later[0] > 100)
        lab.claim("and fewer than 20 by cross-entropy", 0 < later[1] < 20)
        lab.save(picture(surfaces, learned), "quadratic_or_cross_entropy.png")


if __name__ == "__main__":
    main()
