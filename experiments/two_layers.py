"""What does a hidden layer add to a linear model, and what does it add without an activation?

    python -m experiments.two_layers [--out lab]

The lecture: non-linearities are needed, otherwise the network would be just a linear function, W1 W2 x = W x; more layers
and neurons can approximate more complex functions. It shows pictures and no figures. Here the data are moons and circles
(300 training points, 1000 test points) and digits (600 and 1197), with the cross-entropy and the median of five starts.
Adam at 0.05 takes 200 steps; on moons and circles the models without activation are minimized by descent at 0.3, to a
gradient of 1e-8.

Expected: the layer without activation reaches the linear model's loss and line from every start, in fewer steps (about 400
instead of 2455 on moons), but nothing more. tanh improves the accuracy from 0.86 to 0.97 on moons and from 0.57 to 0.99 on
circles, with four units: two cannot enclose the inner circle, and more than eight add nothing. Digits are nearly linear,
0.953: 32 units reach 0.969, eight are no better than none, and two, too few for ten classes, reach 0.58. About 18 s.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits, make_circles, make_moons

import gdjax as gd
from gdjax import losses, metrics, models
from gdjax.plots import style
from gdjax.stopping import gradient_norm, never

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    rate: float = 0.05
    """The rate of Adam."""
    steps: int = 200
    """Its steps."""


WIDTHS, SEEDS, HIDDEN = (1, 2, 4, 8, 16, 32), 5, 16
# The number of features, and the place among the sets with that number.
PLACES = {
    "moons": (2, 0),
    "circles": (2, 1),
    "digits": (64, 0),
}


def planes() -> list[jax.Array]:
    """Moons and circles, (2, ...): points and classes for training, then for testing."""
    made = [make_moons(1300, noise=0.2, random_state=0), make_circles(1300, noise=0.1, factor=0.5, random_state=0)]
    return [jnp.stack(part) for part in zip(*((x[:300], y[:300], x[300:], y[300:]) for x, y in made), strict=True)]


def digits() -> list[jax.Array]:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order] / 16, y[order]
    return [jnp.asarray(part)[None] for part in (x[:600], y[:600], x[600:], y[600:])]


def narrow(params, width):
    """Parameters with all hidden units except the first `width` set to zero; a model without hidden units is unchanged."""
    if isinstance(params, dict):
        return params
    first, second = params
    on = jnp.arange(len(second["w"])) < width
    return first, second | {"w": jnp.where(on[:, None], second["w"], 0)}


def train(model, data, widths, optimizer, **limits):
    """Runs and test accuracies, (sets, widths, seeds)."""

    def loss(params, width, x, y):
        return jnp.mean(losses.softmax_cross_entropy_with_integer_labels(model.apply(narrow(params, width), x), y))

    def run(x, y, test_x, test_y, width, key):
        found = gd.minimize(loss, model.init(key), optimizer, args=(width, x, y), **limits)
        return found, jnp.mean(metrics.correct(model.apply(narrow(found.params, width), test_x), test_y))

    over_seeds = jax.vmap(run, (None,) * 5 + (0,))
    over_widths = jax.vmap(over_seeds, (None,) * 4 + (0, None))
    over_sets = jax.vmap(over_widths, (0,) * 4 + (None, None))
    return jax.jit(over_sets)(*data, jnp.asarray(widths), jax.random.split(jax.random.key(0), SEEDS))


def models_of(size: int, classes: int) -> dict:
    """Kind -> a model, and its numbers of hidden units."""
    return {
        "linear": (models.softmax_regression(size, classes), (0,)),
        "identity": (models.mlp((size, HIDDEN, classes), "identity"), (HIDDEN,)),
        "tanh": (models.mlp((size, WIDTHS[-1], classes), "tanh"), WIDTHS),
    }


def train_all(rate: float, steps: int) -> dict:
    """(kind, features) -> runs and accuracies."""
    found, adam = {}, {"optimizer": gd.adam(rate), "stop": never(), "max_steps": steps}
    descent = {"optimizer": gd.sgd(0.3), "stop": gradient_norm(1e-8), "max_steps": 20_000}
    for data, size, classes in ((planes(), 2, 2), (digits(), 64, 10)):
        for kind, (model, widths) in models_of(size, classes).items():
            how = descent if size == 2 and kind != "tanh" else adam
            found[kind, size] = train(model, data, widths, **how)
    return found


def collapse(params) -> dict[str, jax.Array]:
    """The linear map that two layers without activation are."""
    first, second = params
    bias = jnp.einsum("...i,...ij->...j", first["b"], second["w"]) + second["b"]
    return {"w": first["w"] @ second["w"], "b": bias}


def line(params) -> jax.Array:
    """w and b of the log odds: of two classes only the difference of the scores counts."""
    return jnp.concatenate([jnp.diff(params["w"])[..., 0], jnp.diff(params["b"])], axis=-1)


def draw_plane(axes, scores, x, y) -> None:
    ends = zip(x.min(axis=0) - 0.2, x.max(axis=0) + 0.2, strict=True)
    grid = np.stack(np.meshgrid(*(np.linspace(*pair, 200) for pair in ends)), axis=-1)
    pale = [style.mix(color, "white", 0.75) for color in style.PALETTE[:2]]
    axes.contourf(grid[..., 0], grid[..., 1], np.diff(scores(grid))[..., 0], [-1e9, 0, 1e9], colors=pale)
    for label, marker in ((0, "o"), (1, "^")):
        axes.plot(*x[y == label].T, marker, color=style.PALETTE[label], markersize=2.5)


def draw_planes(picture, ground, found, scored) -> None:
    words = {"linear": "no hidden layer", "identity": f"{HIDDEN} units, no activation", "tanh": f"{HIDDEN} units, tanh"}
    x, y = (np.asarray(part) for part in planes()[:2])
    for i, name in enumerate(("moons", "circles")):
        for j, (kind, (model, widths)) in enumerate(models_of(2, 2).items()):
            at = widths.index(HIDDEN) if HIDDEN in widths else 0
            params = jax.tree.map(lambda leaf, i=i, at=at: leaf[i, at, 0], found[kind, 2][0].params)
            axes, scores = picture.add_subplot(ground[i, j]), partial(model.apply, narrow(params, HIDDEN))
            draw_plane(axes, scores, x[i], y[i])
            axes.set_title(f"{words[kind]}\n{100 * scored[kind, name][at]:.0f} % right", fontsize=style.SMALL)
            axes.set(xlabel="feature 1", ylabel="" if j else f"{name}: feature 2")
            style.dress(axes)


def draw(found, scored):
    picture = style.figure(8.4, "A hidden layer bends the line, but only with an activation")
    ground = picture.add_gridspec(3, 3, height_ratios=(1, 1, 1.15))
    draw_planes(picture, ground, found, scored)
    axes = picture.add_subplot(ground[2, :])
    for name, color in zip(PLACES, style.PALETTE[2:], strict=False):
        tanh, linear = 100 * scored["tanh", name], 100 * scored["linear", name][0]
        axes.semilogx(WIDTHS, tanh, "o-", base=2, color=color, linewidth=2, label=f"{name}, tanh")
        axes.axhline(linear, color=color, linestyle="--", linewidth=1.2, label=f"{name}, no hidden layer")
    axes.set(xlabel="hidden units", ylabel="right of the test set, %", xticks=WIDTHS, xticklabels=WIDTHS)
    style.dress(axes)
    style.rule(axes)
    style.legend(axes)
    return picture


def collapsed_by(params) -> float:
    """How far two layers without activation are from their one linear map, on digits."""
    digit = jax.tree.map(lambda leaf: leaf[0, 0, 0], params)
    one, inputs = collapse(digit), digits()[2][0]
    scores = models_of(64, 10)["identity"][0].apply(digit, inputs)
    return float(np.abs(scores - (inputs @ one["w"] + one["b"])).max())


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        found, at = train_all(lab.numbers.rate, lab.numbers.steps), WIDTHS.index
        linear, identity, tanh = (
            {name: np.median(found[kind, size][1][i], axis=-1) for name, (size, i) in PLACES.items()}
            for kind in models_of(2, 2)
        )
        heads = ("test accuracy", "linear", f"identity {HIDDEN}", *(f"tanh {width}" for width in WIDTHS))
        lab.table(heads, [(name, *linear[name], *identity[name], *tanh[name]) for name in PLACES])
        straight, layered = found["linear", 2][0], found["identity", 2][0]
        gaps = np.abs(layered.value - straight.value).max(axis=(1, 2))
        lines = np.abs(line(collapse(layered.params)) - line(straight.params)).max(axis=(1, 2, 3))
        steps = [np.median(run.steps, axis=(1, 2)) for run in (straight, layered)]
        heads = ("minimum on", "linear: loss, nats", "steps", "identity: steps", "loss off by", "line off by")
        lab.table(heads, zip(PLACES, straight.value[:, 0, 0], *steps, gaps, lines, strict=False))
        gap = collapsed_by(found["identity", 64][0].params)
        lab.claim("two layers without activation are one linear map, to 1e-11", gap < 1e-11)
        lab.claim("from every start they end at the linear model's loss, to 1e-12", gaps.max() < 1e-12)
        lab.claim("and at its line, to 1e-5", lines.max() < 1e-5)
        lab.claim("in less than half of its steps at the same rate", np.all(steps[1] < steps[0] / 2))
        near = abs(identity["digits"][0] - linear["digits"][0])
        lab.claim("on digits they are within 0.01 of the linear model", near < 0.01)
        gains = {name: tanh[name][-1] - linear[name][0] for name in PLACES}
        lab.claim(
            "tanh gains over 0.09 on moons, over 0.4 on circles", gains["moons"] > 0.09 and gains["circles"] > 0.4
        )
        lab.claim("and on digits between 0.005 and 0.03", 0.005 < gains["digits"] < 0.03)
        two, four = tanh["circles"][at(2)], tanh["circles"][at(4)]
        lab.claim("circles: under 0.8 with two hidden units, over 0.97 with four", two < 0.8 and four > 0.97)
        flat = [np.ptp(tanh[name][at(8) :]) for name in ("moons", "circles")]
        lab.claim("from eight units on more change nothing on the plane, to 0.015", max(flat) < 0.015)
        lab.claim("two hidden units lose over 0.3 on digits", tanh["digits"][at(2)] < linear["digits"][0] - 0.3)
        words = "without non-linearities a network is just a linear function, W1 W2 x = W x"
        ours = f"its loss is the linear model's within {gaps.max():.0e} from every start, though in fewer steps"
        same = max(gap, 10 * gaps.max()) < 1e-11
        lab.statement("Lecture S3", words, ours=ours, verdict="right", holds=same)
        words = "an inductive bias restricts the hypotheses, here to linear functions; the target h* is not known"
        ours = f"on circles the best of them is right for {linear['circles'][0]:.2f}, by chance it would be 0.5"
        lab.statement("Lecture S2", words, ours=ours, verdict="right", holds=linear["circles"][0] < 0.7)
        words = "more layers and neurons can approximate more complex functions"
        ours = f"circles: {linear['circles'][0]:.2f} right without, {two:.2f} with two units, {four:.2f} with four"
        lab.statement(
            "Lecture S3", words, ours=ours, verdict="right", holds=four - 0.1 > two > linear["circles"][0] + 0.1
        )
        kinds = {"linear": linear, "identity": identity, "tanh": tanh}
        scored = {(kind, name): values for kind, each in kinds.items() for name, values in each.items()}
        lab.save(
            draw(found, scored),
            "two_layers.png",
            "Borders with no hidden layer, with one that has no activation, with tanh; the share right by hidden units.",
        )


if __name__ == "__main__":
    main()
