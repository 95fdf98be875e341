"""What do the activations and their slopes look like, and what is the slope of a ReLU at 0, where it has none?

    python -m experiments.activations [--out lab] [--steps 1000]

Lecture S3: sigmoid squashes into [0, 1], tanh into [-1, 1], both let gradients vanish, and tanh(x) = 2 sigm(2x) - 1; a
ReLU does not let them vanish, but it is not differentiable and may die. Here all activations of `gdjax.models` are drawn
with their slopes by `jax.grad`, which are tested against central differences wherever there is a slope.

At 0 a ReLU has none but the subgradients between 0 and 1, of which JAX takes 0. So a sum of ReLUs may get a slope that it
does not have: x = relu(x) - relu(-x) gets 0 at 0. In training this hardly matters, since a weighted sum is exactly 0 by
accident only: here it is counted in the first steps on the digits. It does matter where a layer starts at 0: with
the slope 0 nothing ever moves it. A smooth relaxation, softplus(k x) / k, takes 1/2 for every k.

A ReLU is dead if its input is negative for all rows: its slope is 0 for all, and no gradient brings it back. Here 64
units, whose biases start between 0 and -8, learn |x| of 8 normal inputs by 1,000 steps of Adam.

Expected: the largest slopes are 1/4 of the sigmoid, 1 of tanh, 1.13 of gelu, 1.10 of silu, 1.76 of selu. The weights of
every dead ReLU are the same after training to the last bit, and with biases of -4 more are dead after (75 %) than before
(61 %). Of leaky ReLUs, whose slope of 0.01 moves them all, half come back there (27 % are dead after); from -8, none does in
so many steps. About 15 s.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import gdjax as gd
from gdjax import losses, models
from gdjax.models import ACTIVATIONS
from gdjax.plots import style

from .lab import Lab

X = np.linspace(-8, 8, 3201)  # 0, 1 and 6 among them
KINKS = {
    "relu": (0,),
    "relu6": (0, 6),
    "leaky_relu": (0,),
    "hard_tanh": (-1, 1),
    "selu": (0,),
    "step": (0,),
    "sign": (0,),
}
LARGEST = {"sigmoid": 0.25, "tanh": 1.0, "gelu": 1.1289, "silu": 1.0998, "selu": 1.7581}
BIASES, UNITS = (0.0, -2.0, -4.0, -8.0), 64


@dataclasses.dataclass(frozen=True)
class Numbers:
    steps: int = 1000
    """Steps of Adam in which dead units might come back."""


def slopes(f, x) -> np.ndarray:
    return np.asarray(jax.vmap(jax.grad(f))(jnp.asarray(x, float)))


def error_of(name: str) -> float:
    """The largest difference between the slope and a central difference, further than 0.01 from every kink."""
    f, h = ACTIVATIONS[name], 1e-5
    x = X[np.all([abs(X - kink) > 0.01 for kink in KINKS.get(name, ())], axis=0)] if name in KINKS else X
    return float(np.max(abs(slopes(f, x) - np.asarray(f(x + h) - f(x - h)) / (2 * h))))


def one_sided(name: str, place: float, h: float = 1e-7) -> tuple[float, float, float]:
    """(slope from the left, from the right, by JAX)."""
    f = lambda x: float(ACTIVATIONS[name](jnp.asarray(x, float)))  # noqa: E731
    left, right = (f(place) - f(place - h)) / h, (f(place + h) - f(place)) / h
    return left, right, float(slopes(ACTIVATIONS[name], [place])[0])


def exact_zeros() -> tuple[int, int]:
    """(inputs of ReLUs that are exactly 0, all inputs) in the first epoch on the digits, in float32."""
    data = gd.data.load("digits")
    x, y = jnp.asarray(data.x, jnp.float32), jnp.asarray(data.y)
    model = models.mlp((64, 64, 10))
    loss = gd.per_example(gd.supervised(model, losses.softmax_cross_entropy_with_integer_labels))
    start = jax.tree.map(lambda p: p.astype(jnp.float32), model.init(jax.random.key(0)))
    step, state = jax.jit(gd.make_step(loss)), gd.make_state(start, gd.adam(1e-3))
    zeros = 0
    for rows in np.arange(1792).reshape(-1, 64):
        first = state.params[0]
        zeros += int(np.sum(np.asarray(x[rows] @ first["w"] + first["b"]) == 0))
        state, _ = step(state, (x[rows], y[rows]))
    return zeros, 1792 * 64


def gradient_of_a_layer_at_zero(activation) -> float:
    """The largest entry of the gradient of hidden weights and biases that are 0; those behind are not."""
    model = models.mlp((8, UNITS, None), activation)
    hidden, last = model.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (256, 8))
    loss = lambda hidden: jnp.mean((model.apply((hidden, last), x) - 1) ** 2)  # noqa: E731
    return max(float(jnp.max(abs(g))) for g in jax.tree.leaves(jax.grad(loss)(jax.tree.map(jnp.zeros_like, hidden))))


def revive(activation: str, steps: int):
    """For each bias (dead share before training, after, whether all the dead keep their weights, whether one does)."""
    model = models.mlp((8, UNITS, None), activation)
    x = jax.random.normal(jax.random.key(1), (256, 8))
    optimizer = gd.adam(0.01)

    def dead(params):
        return jnp.all(x @ params[0]["w"] + params[0]["b"] < 0, axis=0)

    def run(bias):
        hidden, last = model.init(jax.random.key(0))
        start = {"w": hidden["w"], "b": hidden["b"] + bias}, last

        def step(carry, _):
            params, state = carry
            grads = jax.grad(lambda p: jnp.mean((model.apply(p, x) - jnp.linalg.norm(x, axis=1)) ** 2))(params)
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        end = jax.lax.scan(step, (start, optimizer.init(start)), length=steps)[0][0]
        same = jnp.all(end[0]["w"] == start[0]["w"], axis=0) & (end[0]["b"] == start[0]["b"])
        return jnp.mean(dead(start)), jnp.mean(dead(end)), jnp.all(same | ~dead(start)), jnp.any(same & dead(start))

    return [np.asarray(each) for each in jax.jit(jax.vmap(run))(jnp.array(BIASES))]


def draw(shares: dict[str, list[np.ndarray]]) -> Figure:
    picture = style.figure(3.6, "At 0 a ReLU has no slope; one that is dead stays dead")
    left, right = picture.subplots(1, 2)
    draw_relaxations(left)
    draw_deaths(right, shares)
    return picture


def draw_all() -> Figure:
    picture = style.figure(7.2, "Activations in blue, their slopes in orange")
    panels = picture.subplots(4, 4).flat
    for axes, (name, f) in zip(panels, ACTIVATIONS.items(), strict=False):
        draw_activation(axes, name, f)
    return picture


def titled(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=style.NORMAL, color=style.INK, loc="left", parse_math=False)
    style.dress(axes)
    style.rule(axes)


def draw_activation(axes: Axes, name: str, f) -> None:
    x = X[abs(X) <= (7 if name == "relu6" else 4)]
    kinks = KINKS.get(name, ())
    for piece in np.split(x, np.searchsorted(x, kinks)):  # a slope jumps at a kink, and is not drawn through it
        axes.plot(piece, np.asarray(f(piece)), color=style.BLUE, linewidth=2)
        between = piece[~np.isin(piece, kinks)]
        axes.plot(between, slopes(f, between), color=style.VERMILLION, linewidth=1.4)
    at = [place for place in kinks if name not in ("step", "sign")]
    axes.plot(at, slopes(f, at) if at else [], "o", color=style.VERMILLION, markersize=4)
    axes.set_ylim((-1.6, 6.6) if name == "relu6" else (-1.6, 2.6))
    axes.set_xticks((-6, 0, 6) if name == "relu6" else (-3, 0, 3))
    if name == "identity":
        for words, height, color in (("f", -0.7, style.BLUE), ("slope", 1.2, style.VERMILLION)):
            axes.text(-3.8 if words == "slope" else 0.2, height, words, color=color, fontsize=style.SMALL)
    titled(axes, name)


def draw_relaxations(axes: Axes) -> None:
    x = X[(X >= -1.5) & (X <= 3)]
    for sharpness, color in zip((1, 3, 10), style.palette(3), strict=True):
        smooth = slopes(lambda x, k=sharpness: jax.nn.softplus(k * x) / k, x)
        axes.plot(
            x,
            smooth,
            color=color,
            label=f"softplus({sharpness} x) / {sharpness}" if sharpness > 1 else "softplus(x)",
            linewidth=1.6,
        )
    axes.plot([-1.5, 0], [0, 0], color=style.INK, linewidth=2, label="relu")
    axes.plot([0, 3], [1, 1], color=style.INK, linewidth=2)
    axes.plot([0, 0], [0, 1], ":", color=style.INK)
    axes.plot(0, 0, "o", color=style.INK)
    axes.annotate("0 by JAX", (0, 0), (8, 4), textcoords="offset points", fontsize=style.SMALL, color=style.INK)
    axes.set_xlabel("x", fontsize=style.NORMAL)
    titled(axes, "slope near 0")
    look = {"fontsize": style.SMALL, "edgecolor": style.RULE, "loc": "lower right", "bbox_to_anchor": (1, 0.12)}
    axes.legend(**look)


def draw_deaths(axes: Axes, shares: dict[str, list[np.ndarray]]) -> None:
    places = np.arange(len(BIASES))
    before = shares["relu"][0]
    axes.bar(places - 0.27, before, 0.25, color=style.FAINT, label="before training")
    for i, ((name, (_, after, *_)), color) in enumerate(zip(shares.items(), style.palette(2), strict=True)):
        axes.bar(places + 0.27 * i, after, 0.25, color=color, label=f"{name}, after")
    axes.set_xticks(places, [f"{bias:g}" for bias in BIASES])
    axes.set_xlabel("initial bias", fontsize=style.NORMAL)
    titled(axes, "dead share of 64 units")
    style.legend(axes)


def shapes(lab: Lab) -> None:
    """Values and slopes of all activations."""
    by_name = {name: slopes(f, X) for name, f in ACTIVATIONS.items()}
    at_zero = {name: float(s[len(X) // 2]) for name, s in by_name.items()}
    values = {name: np.asarray(f(X)) for name, f in ACTIVATIONS.items()}
    rows = [
        (name, v.min(), v.max(), at_zero[name], by_name[name].min(), by_name[name].max()) for name, v in values.items()
    ]
    lab.table(("on [-8, 8]", "lowest", "highest", "slope at 0", "least slope", "largest slope"), rows)
    lab.claim("every slope is that of a central difference", max(map(error_of, ACTIVATIONS)) < 1e-5)
    close = [abs(by_name[name].max() - largest) < 2e-3 * largest for name, largest in LARGEST.items() if name != "selu"]
    lab.claim("the largest slopes are as expected", all(close) and abs(one_sided("selu", 0)[0] - 1.7581) < 1e-4)
    same = np.max(abs(np.tanh(X) - (2 * np.asarray(jax.nn.sigmoid(2 * X)) - 1)))
    lab.claim("tanh(x) = 2 sigm(2x) - 1", same < 1e-14)
    says = "sigmoid squashes into [0, 1], tanh into [-1, 1], and tanh(x) = 2 sigm(2x) - 1"
    ends = {name: (values[name].min(), values[name].max()) for name in ("sigmoid", "tanh")}
    squashed = ends["sigmoid"][0] >= 0 and ends["tanh"][0] >= -1 and max(high for _, high in ends.values()) <= 1
    lab.statement("Lecture S3", says, ours=f"to {same:.0e}", verdict="right", holds=squashed and same < 1e-14)


def kinks(lab: Lab) -> None:
    """The slope where there is none, and how often it is asked for."""
    at = [
        (name, place, *one_sided(name, place))
        for name in ("relu", "relu6", "leaky_relu", "selu")
        for place in KINKS[name]
    ]
    lab.table(("kink", "at", "slope from the left", "from the right", "by JAX"), at)
    between = all(min(left, right) - 1e-6 <= jax_ <= max(left, right) + 1e-6 for *_, left, right, jax_ in at)
    _, _, left, right, taken = at[0]
    lab.claim("at a kink JAX takes a subgradient, of relu 0", between and taken == 0)
    line = slopes(lambda x: jax.nn.relu(x) - jax.nn.relu(-x), [0.0, 0.5])
    lab.claim("relu(x) - relu(-x), which is x, gets the slope 0 at 0, and 1 beside", tuple(line) == (0, 1))
    zeros, inputs = exact_zeros()
    lab.claim(f"of {inputs:,} inputs of ReLUs on the digits {zeros} are exactly 0", zeros == 0)
    moved = [gradient_of_a_layer_at_zero(f) for f in ("relu", "softplus")]
    lab.claim("a layer of ReLUs that starts at 0 has no gradient, one of softplus has", moved[0] == 0 < moved[1])
    lab.statement(
        "Lecture S3",
        "a ReLU is not differentiable and needs a relaxation",
        ours=f"at 0 alone, which {zeros} of {inputs:,} inputs are; JAX takes the slope {taken:g} there",
        verdict="imprecise",
        holds=zeros > 0,
        partly=right - left > 0.5,
    )


def deaths(lab: Lab, steps: int) -> dict[str, list[np.ndarray]]:
    """Units that are dead before training and after it."""
    shares = {name: revive(name, steps) for name in ("relu", "leaky_relu")}
    dead = [(bias, shares["relu"][0][i], *(s[1][i] for s in shares.values())) for i, bias in enumerate(BIASES)]
    lab.table(("initial bias", "dead before", "relu, after", "leaky_relu, after"), dead)
    stay = np.all(shares["relu"][2])
    lab.claim("dead ReLUs keep their weights to the last bit", stay and dead[-1][1:3] == (1, 1))
    lab.claim("no dead leaky one does", not np.any(shares["leaky_relu"][3]))
    bias, before, after, leaky = dead[2]
    lab.claim("from -4 over a third of the leaky ones come back", leaky < 2 / 3 * before)
    lab.claim("of ReLUs more are dead after than before", after >= before > 0.5)
    ours = f"those dead at the start stay so: {after:.0%} of units whose biases start at {bias:g}"
    lab.statement("Lecture S3", "ReLUs may die", ours=ours, verdict="right", holds=stay and after >= before > 0)
    return shares


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        shapes(lab)
        kinks(lab)
        shares = deaths(lab, lab.numbers.steps)
        lab.save(draw_all(), "activations.png", "Every activation of gdjax.models with its slope.")
        caption = (
            "Left: smooth relaxations of a ReLU's slope. Right: units whose slope is 0 for all rows, before and after."
        )
        lab.save(draw(shares), "activations_dead.png", caption)


if __name__ == "__main__":
    main()
