"""What can one neuron learn, by the perceptron rule or by descent on the logistic loss, and does its activation matter?

    python -m experiments.one_neuron [--out lab]

The lecture's perceptron is f(w·x) with the sigmoid f, which is logistic regression. Rosenblatt's has a step function f and
adds y x to w at every mistake (descent at rate 1 on max(0, -y w·x), one example at a time). On classes that a plane
separates by a margin γ, with |x| <= R, it makes at most (R/γ)² mistakes in all (Novikoff 1962). Orthogonal examples reach
the bound, synthetic sets do not. On versicolor and virginica, which no line separates, it never ends; descent with the
sigmoid converges, since its loss has a minimum.

Another lecture's layer is σ(W x + b), W = (1 2 -1 -2; 3 4 -3 4), x = (1, 2, 3, 4), b = (5, 6): W x + b = (-1, 24). It
states tanh(x) = 2 sigm(2x) - 1. So a tanh network equals a sigmoid network with other weights: before an activation w and b
are doubled, after one w is doubled and the sum of w's rows is subtracted from b. The functions are equal, but differ after
a step of descent.

Expected: 40 mistakes for 40 orthogonal examples; for 240 synthetic sets at most half of their bounds; of 100 irises 94 are
classified correctly, 83 by the perceptron rule; the networks agree to 1e-12, and differ by 0.09 after a step at rate 0.1.
About 10 s.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_iris

import gdjax as gd
from gdjax import losses, models
from gdjax.backprop import backpropagate, fold_bias, with_ones
from gdjax.plots import style
from gdjax.stopping import gradient_norm

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    sets: int = 40
    """Synthetic sets for each margin."""
    rate: float = 0.1
    """The rate of the step that takes a tanh network and its sigmoid twin apart."""


MARGINS, POINTS, ROUNDS = (0.4, 0.2, 0.1, 0.05, 0.02, 0.01), 100, 2000
LAYER = {"w": np.array([[1.0, 2, -1, -2], [3, 4, -3, 4]]).T, "b": np.array([5.0, 6])}
INPUT = np.array([1.0, 2, 3, 4])
NEURON = models.logistic_regression(2)


def separable_points(margin: float, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Points of the unit disc at least `margin` from a line through its center, their sides, and the bound."""
    rng = np.random.default_rng(seed)
    angle, points = rng.uniform(0, 2 * np.pi), rng.uniform(-1, 1, (10 * POINTS, 2))
    side, size = points @ [np.cos(angle), np.sin(angle)], np.linalg.norm(points, axis=1)
    kept = np.flatnonzero((np.abs(side) >= margin) & (size <= 1))[:POINTS]
    return points[kept], np.sign(side[kept]), (size[kept].max() / np.abs(side[kept]).min()) ** 2


@jax.jit
def rosenblatt(x, y):
    """The perceptron rule until no example is misclassified: weights, all mistakes, and those of the last pass."""

    def correct(w, example):
        slope = jax.grad(lambda w: losses.perceptron(example[0] @ w, example[1]))(w)
        return w - slope, jnp.any(slope != 0)

    def turn(state):
        w, mistakes, _, rounds = state
        w, wrong = jax.lax.scan(correct, w, (x, y))
        return w, mistakes + wrong.sum(), wrong.sum(), rounds + 1

    start = jnp.zeros(x.shape[1]), 0, 1, 0
    return jax.lax.while_loop(lambda state: (state[2] > 0) & (state[3] < ROUNDS), turn, start)[:3]


def irises() -> tuple[np.ndarray, np.ndarray]:
    """Versicolor (0) and virginica (1), their four measurements standardized: sepals, petals."""
    data = load_iris()
    x = data.data[data.target > 0]
    return (x - x.mean(axis=0)) / x.std(axis=0), data.target[data.target > 0] - 1.0


def neuron_loss(params, x, y):
    return jnp.mean(losses.binary_cross_entropy_from_logits(NEURON.apply(params, x), y))


def descend(x, y):
    """Descent at rate 1/L, where L is the largest curvature of the loss."""
    steepest = np.linalg.eigvalsh(with_ones(x).T @ with_ones(x))[-1] / (4 * len(y))
    start = NEURON.init(jax.random.key(0))
    limits = {"stop": gradient_norm(1e-6), "max_steps": 50_000}
    return gd.minimize(neuron_loss, start, gd.sgd(1 / steepest), args=(x, y), **limits)


def as_sigmoids(layers):
    """The sigmoid network that is equal to the tanh network."""
    behind = [layers[0], *({"w": 2 * part["w"], "b": part["b"] - part["w"].sum(axis=0)} for part in layers[1:])]
    return (*(jax.tree.map(lambda leaf: 2 * leaf, part) for part in behind[:-1]), behind[-1])


def network_difference(sizes, x, y, rate: float) -> float:
    """The largest difference of outputs between a tanh network and its rewriting, after a step of descent on each."""
    start = models.mlp(sizes, "tanh").init(jax.random.key(1))

    def outputs(name: str, params):
        model = models.mlp(sizes, name)
        slope = jax.grad(lambda p: jnp.mean(losses.softmax_cross_entropy_with_integer_labels(model.apply(p, x), y)))(
            params
        )
        return model.apply(jax.tree.map(lambda p, s: p - rate * s, params, slope), x)

    return float(jnp.max(jnp.abs(outputs("tanh", start) - outputs("sigmoid", as_sigmoids(start)))))


def draw_neuron(x, y, neuron):
    picture = style.figure(4.6, "The logistic neuron draws a line between classes that overlap")
    axes = picture.subplots()
    style.dress(axes)
    grid = np.stack(np.meshgrid(*(np.linspace(-2.6, 2.6, 200),) * 2), axis=-1)
    chance = np.asarray(jax.nn.sigmoid(NEURON.apply(neuron, grid)))
    look = {"colors": style.INK, "linewidths": (0.8, 1.8, 0.8)}
    lines = axes.contour(grid[..., 0], grid[..., 1], chance, [0.1, 0.5, 0.9], **look)
    axes.clabel(lines, fmt="p = %g", fontsize=9)
    for label, color, marker, name in ((0, style.BLUE, "o", "versicolor"), (1, style.VERMILLION, "^", "virginica")):
        axes.plot(*x[y == label].T, marker, color=color, markersize=6, alpha=0.7, label=name)
    axes.set(xlabel="petal length, standard deviations", ylabel="petal width, standard deviations", aspect="equal")
    axes.legend(fontsize=style.SMALL, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return picture


def draw_bound(bounds, mistakes):
    picture = style.figure(3.8, "The perceptron rule stays under its bound")
    axes = picture.subplots()
    style.dress(axes)
    ends = np.array([2, 3e4])
    axes.loglog(ends, ends, color=style.INK, linewidth=1.2, label="the bound itself")
    axes.loglog(
        bounds, np.maximum(mistakes, 1), ".", color=style.BLUE, alpha=0.6, label=f"{len(bounds)} synthetic sets"
    )
    axes.loglog([40], [40], "*", color=style.VERMILLION, markersize=12, label="40 orthogonal examples")
    axes.set(xlabel="bound (R/γ)², mistakes", ylabel="mistakes until none is left")
    axes.legend(fontsize=style.SMALL, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return picture


def mistakes_of_the_rule(lab: Lab, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Novikoff's bounds, and the mistakes of the perceptron rule, set by set."""
    sets = [separable_points(margin, seed) for margin in MARGINS for seed in range(seeds)]
    points, sides, bounds = (np.stack(part) for part in zip(*sets, strict=True))
    _, mistakes, left_over = map(np.asarray, jax.vmap(rosenblatt)(points, sides))
    rows = (values.reshape(len(MARGINS), seeds) for values in (bounds, mistakes, mistakes / bounds))
    medians = [(np.median(most), np.median(made), share.max()) for most, made, share in zip(*rows, strict=True)]
    head = ("margin at least", "bound, median", "mistakes, median", "largest share of a bound")
    lab.table(head, [(margin, *row) for margin, row in zip(MARGINS, medians, strict=True)])
    lab.claim("no made set takes more mistakes than (R/γ)²", left_over.max() == 0 and np.all(mistakes <= bounds))
    orthogonal = [int(rosenblatt(np.eye(n), np.resize([1.0, -1.0], n))[1]) for n in (10, 40)]
    lab.claim("orthogonal examples take as many as the bound, n", orthogonal == [10, 40])
    return bounds, mistakes


def rule_or_descent(lab: Lab, petals, y):
    """Both on two irises that no line separates; the run of descent."""
    run, (w, wrong, still) = descend(petals, y), rosenblatt(with_ones(petals), 2 * y - 1)
    right = [np.sum((scores > 0) == y) for scores in (with_ones(petals) @ w, NEURON.apply(run.params, petals))]
    rule = f"{wrong:,} mistakes in {ROUNDS:,} rounds, {still} in the last"
    descent = f"{run.steps:,} steps, loss {run.value:.4f} nats"
    rows = (("perceptron rule", "no", right[0], rule), ("logistic neuron", run.stop.name, right[1], descent))
    lab.table(("irises by", "ended", "right of 100", "what it took"), rows)
    both = set(map(tuple, petals[y == 0])) & set(map(tuple, petals[y == 1]))
    lab.claim("irises of both kinds have the same petals, and the rule never ends", both and still > 0)
    ended = run.stop.name == "CONVERGED"
    lab.claim("the neuron's descent does, with over five more of them right", ended and right[1] > right[0] + 5)
    params = {"w": np.array([[0.3], [-0.7]]), "b": np.array([0.2])}
    by_hand = backpropagate((params,), petals, y[:, None], "sigmoid", "binary_cross_entropy").gradients[0]
    delta = (jax.nn.sigmoid(NEURON.apply(params, petals)) - y) / len(y)
    folded = with_ones(petals).T @ delta[:, None]
    slope = jax.grad(neuron_loss)(params, petals, y)
    apart = max(np.abs(fold_bias(slopes) - folded).max() for slopes in (by_hand, slope))
    lab.claim("its gradient is x'(a - y)/n by hand, by backpropagation and by autodiff", apart < 1e-14)
    words = "a perceptron is f(w·x) with the sigmoid f, which is logistic regression"
    ours = f"Rosenblatt's has a step and another rule, {right[0]} of {len(y)} irises right; with the sigmoid {right[1]}"
    judged = {"holds": right[0] == right[1], "partly": ended and apart < 1e-14}
    lab.statement("Lecture S2", words, ours=ours, verdict="imprecise", **judged)
    return run


def activations(lab: Lab, x, y, rate: float) -> None:
    """The lecture's layer, and networks of tanh as networks of sigmoids."""
    layer = {f: models.mlp((4, 2), output=f).apply((LAYER,), INPUT) for f in ("identity", "sigmoid", "tanh", "relu")}
    rows = [(f, *values, "(-1, 24)" if f == "identity" else "") for f, values in layer.items()]
    lab.table(("σ(W x + b), σ", "first", "second", "lecture"), rows)
    told = layer["identity"]
    same = np.array_equal(told, [-1, 24])
    lab.claim("the lecture's layer gives (-1, 24) before σ", same)
    lab.claim("its bias may be a row of the weights", np.array_equal(with_ones(INPUT) @ fold_bias(LAYER), [-1, 24]))
    ours = f"({', '.join(f'{value:g}' for value in told)}), b as a row of W too"
    lab.statement("Lecture S3", "W x + b = (-1, 24)", ours=ours, verdict="right", holds=same)
    shapes, kinds = ((4, 5, 2), (4, 6, 5, 3, 2)), y.astype(int)
    gaps = {shape: [network_difference(shape, x, kinds, each) for each in (0.0, rate)] for shape in shapes}
    lab.table(("tanh or sigmoid network", "apart by", "after a step"), [(str(s), *gap) for s, gap in gaps.items()])
    z = np.linspace(-20, 20, 4001)
    identity = np.abs(jnp.tanh(z) - (2 * jax.nn.sigmoid(2 * z) - 1)).max()
    lab.claim("tanh(x) is 2 sigm(2x) - 1, to 1e-14", identity < 1e-14)
    lab.claim("so tanh networks are sigmoid networks, to 1e-12", max(gap[0] for gap in gaps.values()) < 1e-12)
    lab.claim("which one step of descent takes apart by over 0.05", min(gap[1] for gap in gaps.values()) > 0.05)
    words, ours = "tanh(x) = 2 sigm(2x) - 1", f"equal within {identity:.0e} from {z[0]:g} to {z[-1]:g}"
    lab.statement("Lecture S3", words, ours=ours, verdict="right", holds=identity < 1e-14)


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        bounds, mistakes = mistakes_of_the_rule(lab, lab.numbers.sets)
        x, y = irises()
        petals = x[:, 2:]
        run = rule_or_descent(lab, petals, y)
        activations(lab, x, y, lab.numbers.rate)
        lab.save(
            draw_neuron(petals, y, run.params),
            "one_neuron.png",
            "Petals of two kinds of iris, and where the neuron gives them chances of 0.1, 0.5 and 0.9.",
        )
        lab.save(
            draw_bound(bounds, mistakes),
            "one_neuron_bound.png",
            "The mistakes of the perceptron rule by its bound: synthetic sets far below, orthogonal examples on it.",
        )


if __name__ == "__main__":
    main()
