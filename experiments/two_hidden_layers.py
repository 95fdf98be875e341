"""How does the lecture's network with two hidden layers of sigmoids train, and what does the second layer bring?

    python -m experiments.two_hidden_layers [--out lab] [--full]

Lecture S2 asks "how do we train this model?" of y = σ(β' z2 + β0), z2 = σ(α2' z1 + b2), z1 = σ(α1' x + b1), and answers with
a table of derivatives that are multiplied backward from the loss. It gives no numbers, and has two slips: α2 is printed as
M x D2, M the number of inputs, though it must be D1 x D2; and the table's J lacks its minus, so that its gradient leads
uphill. Here M = 2 and D1 = D2 = 8, which makes 105 parameters; beside it no hidden layer, and one of 26 units, also with
105. The data are moons, circles and two arms of a spiral, 300 points to train and 300 to test; ten seeds.

Expected: the table's products are the gradient of jax.grad to 1e-12. After 200 epochs of Adam at 0.1, 0.98 of the spirals
are right with one hidden layer or with two, 0.57 without; the second one brings nothing here, and on moons one of ten seeds
stays at a straight line with it. It costs time: descent at rate 1 needs 500 steps on circles with one layer of sigmoids,
1,000 with two, 3,200 with three, and 100 with two of tanh. For a sigmoid's slope is at most 1/4: at the start the first
layer's gradient is 0.05, 0.01 and 0.002 of the last one's, with tanh 0.9. About 24 s.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid

import gdjax as gd
from gdjax import losses, models
from gdjax.data import fit_scaling, load, standardize
from gdjax.plots import style
from gdjax.stopping import target
from gdjax.tree import global_norm

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    epochs: int = 200
    """Passes of Adam over the 300 points."""
    seeds: int = 10
    """Initial weights of each network."""


INPUTS, WIDTH, SAME, BATCH = 2, 8, 26, 20
HIDDEN = {"none": (), f"one of {SAME}": (SAME,), f"two of {WIDTH}": (WIDTH, WIDTH)}
QUICK = {"xla_backend_optimization_level": 0}  # of programs whose work is small
SETS = {"moons": {"noise": 0.2}, "circles": {"noise": 0.1}, "spirals": {"arms": 2}}
DEEP = {  # of the race on circles
    "one layer of sigmoids": models.mlp((2, 16, None), "sigmoid"),
    "two": models.mlp((2, 8, 8, None), "sigmoid"),
    "three": models.mlp((2, 8, 8, 8, None), "sigmoid"),
    "two of tanh": models.mlp((2, 8, 8, None), "tanh"),
}


def rows(name: str) -> tuple:
    """Inputs and classes to train, and to test."""
    data = load(name, n=600, **SETS[name])
    order = np.random.default_rng(0).permutation(600)
    x, y = data.x[order].astype(float), data.y[order].astype(float)
    x = standardize(fit_scaling(x[:300]), x)
    return tuple((jnp.asarray(x[part]), jnp.asarray(y[part])) for part in (slice(300), slice(300, None)))


@functools.cache
def loss_of(model):
    def cross_entropy(params, row):
        x, y = row
        return losses.sigmoid_binary_cross_entropy(model.apply(params, x), y)

    return gd.per_example(cross_entropy)


def forward(params, x) -> tuple:
    """The lecture's three lines: z1, z2, y."""
    (a1, b1), (a2, b2), (beta, beta0) = ((layer["w"], layer["b"]) for layer in params)
    z1 = sigmoid(a1.T @ x + b1)
    z2 = sigmoid(a2.T @ z1 + b2)
    return z1, z2, sigmoid(beta[:, 0] @ z2 + beta0[0])


def by_table(params, x, target) -> list[dict[str, jax.Array]]:
    """The table's rows multiplied backward from J = y* log y + (1 - y*) log(1 - y), as printed, without its minus."""
    z1, z2, y = forward(params, x)
    g_y = target / y + (1 - target) / (y - 1)
    g_b = g_y * y * (1 - y)  # exp(-b) / (exp(-b) + 1)²
    gradients = [{"w": (g_b * z2)[:, None], "b": g_b[None]}]
    g_z = g_b * params[2]["w"][:, 0]
    for z, below, layer in ((z2, z1, params[1]), (z1, x, params[0])):
        g_a = g_z * z * (1 - z)
        gradients.insert(0, {"w": below[:, None] * g_a, "b": g_a})
        g_z = layer["w"] @ g_a
    return gradients


def check_table(lab: Lab) -> None:
    model, rng = DEEP["two"], np.random.default_rng(0)
    params, x, y = model.init(jax.random.key(0)), jnp.asarray(rng.normal(size=INPUTS)), 1.0
    printed = by_table(params, x, y)
    likely = lambda params: -losses.sigmoid_binary_cross_entropy(model.apply(params, x), y)  # noqa: E731
    apart = lambda a, b: max(jax.tree.leaves(jax.tree.map(lambda a, b: jnp.abs(a - b).max(), a, b)))  # noqa: E731
    uphill = jax.grad(likely)(params)
    gap, off = (apart(tuple(printed), jax.tree.map(lambda g, sign=sign: sign * g, uphill)) for sign in (1, -1))
    lab.claim(
        "the table's products are the gradient of the log-likelihood, to 1e-12: downhill is their negative", gap < 1e-12
    )
    kinds = [models.mlp((INPUTS, *hidden, None)) for hidden in HIDDEN.values()]
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(m.init, jax.random.key(0)))) for m in kinds]
    lab.claim("two layers of 8 have 105 parameters, as one of 26", sizes == [3, 105, 105])
    z1 = forward(params, x)[0]
    fits = [shape[0] == len(z1) for shape in ((WIDTH, WIDTH), (INPUTS, WIDTH))]
    lab.claim("z1 has D1 entries, so that α2 must be D1 x D2, not M x D2", fits == [True, False])
    says, ours = "α2 is a matrix of M x D2", "of D1 x D2, or α2' z1 does not exist"
    exists = False
    with contextlib.suppress(TypeError):
        exists = (jnp.zeros((INPUTS, WIDTH)).T @ z1).shape == (WIDTH,)
    lab.statement("Lecture S2", says, ours=ours, verdict="wrong", holds=exists)
    words = "the table of the backward pass, from J = y* log y + (1 - y*) log(1 - y)"
    ours = (
        f"its products are autodiff's within {float(gap):.0e}, but its J lacks a minus: followed down, it leads uphill"
    )
    lab.statement("Lecture S2", words, ours=ours, verdict="wrong", holds=off < 1e-12)


def accuracies(name: str, seeds: int, epochs: int) -> tuple[np.ndarray, list]:
    """Right answers of the test rows, (hidden layers, seeds), and each model with the parameters of seed 0."""
    train, (x, y) = rows(name)
    lengths = {"epochs": epochs, "batch_size": BATCH}
    right, first = [], []
    for hidden in HIDDEN.values():
        model = models.mlp((x.shape[1], *hidden, None), "sigmoid")
        starts = [model.init(jax.random.key(seed)) for seed in range(seeds)]
        fits = [gd.fit(loss_of(model), p, gd.adam(0.1), train, key=i, **lengths) for i, p in enumerate(starts)]
        right.append([np.mean((model.apply(run.params, x) > 0) == (y > 0.5)) for run in fits])
        first.append((model, fits[0].params))
    return np.array(right), first


def race(seeds: int) -> dict[str, list[gd.Result]]:
    """Plain descent on circles, until the loss of an epoch is 0.2."""
    train, _ = rows("circles")
    lengths = {"epochs": 1500, "batch_size": BATCH, "stop": target(0.2)}
    return {
        name: [
            gd.fit(loss_of(m), m.init(jax.random.key(s)), gd.sgd(1.0), train, key=s, **lengths) for s in range(seeds)
        ]
        for name, m in DEEP.items()
    }


def first_over_last(model, data) -> float:
    """The gradient of the first layer's weights over that of the last one's, at the start, median of 20 seeds."""

    def ratio(key):
        gradient = jax.grad(lambda params: loss_of(model)(params, data)[0])(model.init(key))
        return global_norm(gradient[0]["w"]) / global_norm(gradient[-1]["w"])

    return float(jnp.median(jax.jit(jax.vmap(ratio), compiler_options=QUICK)(jax.random.split(jax.random.key(0), 20))))


def compare(lab: Lab[Numbers], seeds: int) -> list:
    right, drawn = {}, []
    for name in SETS:
        right[name], first = accuracies(name, seeds, lab.numbers.epochs)
        drawn = first if name == "spirals" else drawn
    rows = [(name, *(f"{np.median(v):.3f} ({v.min():.3f})" for v in values)) for name, values in right.items()]
    lab.table(("right of the test: median (least)", *HIDDEN), rows)
    none, one, two = (np.array([np.median(right[name][i]) for name in SETS]) for i in range(len(HIDDEN)))
    lab.claim("without a hidden layer under 0.65 of circles and spirals are right", np.all(none[1:] < 0.65))
    lab.claim("with the lecture's two over 0.95 of all three", np.all(two > 0.95))
    lab.claim("which is not more than with one of as many parameters, to 0.02", np.all(np.abs(two - one) < 0.02))
    words = "y = σ(β' z2 + β0) with two hidden layers of sigmoids: how do we train this model?"
    told = ", ".join(f"{value:.2f}" for value in two)
    ours = f"by Adam or descent on the table's products: {told} of {', '.join(SETS)} right, no more than with one layer"
    lab.statement("Lecture S2", words, ours=ours, verdict="not judged")
    return drawn


def speed(lab: Lab, seeds: int) -> dict[str, list[gd.Result]]:
    runs, (train, _) = race(seeds), rows("circles")
    steps = {name: np.array([run.steps for run in each]) for name, each in runs.items()}
    share = {name: first_over_last(model, train) for name, model in DEEP.items()}
    table = [(name, np.median(taken), taken.min(), taken.max(), share[name]) for name, taken in steps.items()]
    lab.table(("circles, to a loss of 0.2", "steps", "least", "most", "first / last gradient"), table)
    one, two, three, tanh = (np.median(taken) for taken in steps.values())
    lab.claim("each layer of sigmoids takes over 1.4 times the steps", two > 1.4 * one and three > 1.4 * two)
    lab.claim("two of tanh under a quarter of two of sigmoids", tanh < two / 4)
    small = list(share.values())
    lab.claim(
        "for each layer of sigmoids leaves under a third of the first gradient",
        small[1] < small[0] / 3 and small[2] < small[1] / 3,
    )
    lab.claim("tanh leaves over half", small[3] > 0.5)
    return runs


def draw(drawn, runs):
    picture = style.figure(6.6, "A second layer of sigmoids trains by the same rule, but slower")
    top, bottom = picture.subfigures(2, 1, height_ratios=(1, 1.05))
    (x, y), _ = rows("spirals")
    grid = np.stack(np.meshgrid(*(np.linspace(-2.5, 2.5, 200),) * 2), axis=-1)
    pale = [style.mix(color, "white", 0.75) for color in style.PALETTE[:2]]
    for axes, (words, (model, params)) in zip(
        top.subplots(1, 3, sharey=True), zip(HIDDEN, drawn, strict=True), strict=True
    ):
        axes.contourf(grid[..., 0], grid[..., 1], model.apply(params, jnp.asarray(grid)), [-1e9, 0, 1e9], colors=pale)
        for label, mark in ((0, "o"), (1, "^")):
            axes.plot(*x[y == label].T, mark, color=style.PALETTE[label], markersize=2.5)
        axes.set_title(f"hidden layers: {words}", fontsize=style.SMALL, loc="left")
        axes.set(xlabel="feature 1", ylabel="feature 2" if words == "none" else "")
        axes.set(xlim=(-2.5, 2.5), ylim=(-2.5, 2.5))
        style.dress(axes)
    axes = bottom.subplots()
    for (name, each), color in zip(runs.items(), (style.SKY, style.BLUE, style.INK, style.VERMILLION), strict=True):
        run = sorted(each, key=lambda run: run.steps)[len(each) // 2]
        values = run.history["loss"]
        axes.plot(15 * np.arange(1, len(values) + 1), values, color=color, linewidth=1.8, label=name)
    axes.axhline(0.2, color=style.MUTED, linewidth=0.8)
    axes.set(
        xscale="log",
        xlabel="step of descent at rate 1, circles, the seed in the middle",
        ylabel="cross-entropy, nats",
        ylim=(0, 0.85),
    )
    style.dress(axes)
    style.rule(axes)
    axes.legend(fontsize=style.SMALL, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    return picture


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        check_table(lab)
        drawn = compare(lab, 50 if lab.full else lab.numbers.seeds)
        lab.save(
            draw(drawn, speed(lab, 25 if lab.full else 7)),
            "two_hidden_layers.png",
            "Above, the border between two spirals by three networks; below, the loss of descent with one to three layers.",
        )


if __name__ == "__main__":
    main()
