"""What does a unit of a convolutional network see of its image, and how does that grow with depth, stride and dilation?

    python -m experiments.receptive_fields [--out lab]

The receptive field of a unit is where its gradient with respect to the input is not zero. By counting, layer l adds
(kernel - 1) dilation times the product of the strides before it: 2 for each layer of windows of 3, but 2, 4, 8, ... where
strides or dilations double. Here the field is measured by that gradient, at random weights. Inside the field the gradient is
not even: with independent weights its mean square is that of a random walk, whose spread is sqrt(L (kernel² - 1) / 12) after
L layers, while the field is as wide as L (Luo et al. 2016, arXiv:1701.04128): of a deep network's field, the middle counts.
Then the units of a network that was trained on digits, and where the score of the right class looks.

Expected: measured fields equal the counted ones; spreads are within 10 % of the law; on digits the gradient of each unit
is zero outside of its field, and pixels on which the strokes of digits never stand move the score of a class less than
others. About 20 s.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import gdjax as gd
from gdjax.models import activation, conv, dense, flatten, normal, serial
from gdjax.plots import palette, style

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    epochs: int = 6
    """Passes over the digits that the network is trained for."""


LENGTH, DEPTH = 129, 5
SIDE, DEPTHS, SEEDS, CHANNELS = 41, (1, 4, 16), 64, 8
DIGITS = (8, 8, 1)


class Layer(NamedTuple):
    """Windows of a size, with their stride and dilation."""

    kernel: int
    stride: int = 1
    dilation: int = 1


DESIGNS = {
    "windows of 3": [Layer(3)] * DEPTH,
    "windows of 5": [Layer(5)] * DEPTH,
    "windows of 3, stride 2": [Layer(3, stride=2)] * DEPTH,
    "windows of 3, dilation 1, 2, 4, ...": [Layer(3, dilation=2**i) for i in range(DEPTH)],
}


def counted(layers: Sequence[Layer]) -> int:
    """The width of the field: 1 + sum_l (k_l - 1) d_l prod_{i < l} s_i."""
    width, jump = 1, 1
    for layer in layers:
        width += (layer.kernel - 1) * layer.dilation * jump
        jump *= layer.stride
    return width


def measured(layers: Sequence[Layer]) -> int:
    """The width of the gradient of the unit in the middle, of a series through the layers."""
    parts: list[gd.Model] = []
    for layer in layers:
        parts += [conv(2, 2, (layer.kernel,), layer.stride, "SAME", layer.dilation), activation("tanh")]
    model = serial(*parts)
    params, x = model.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (LENGTH, 2))

    def unit(x):
        y = model.apply(params, x)
        return y[len(y) // 2, 0]

    seen = np.flatnonzero(np.any(np.asarray(jax.jit(jax.grad(unit))(x)) != 0, axis=-1))
    return int(seen[-1] - seen[0] + 1)


def mean_square(depth: int) -> np.ndarray:
    """The mean square of the gradient of a middle unit, over random weights without a bend between layers, (SIDE, SIDE)."""
    sizes = [1, *[CHANNELS] * depth]
    model = serial(*(conv(a, b, (3, 3), weights=normal(1 / np.sqrt(9 * a))) for a, b in itertools.pairwise(sizes)))

    def gradient(key):
        params = model.init(key)
        unit = lambda x: model.apply(params, x)[SIDE // 2, SIDE // 2, 0]  # noqa: E731
        return jax.grad(unit)(jnp.zeros((SIDE, SIDE, 1)))[..., 0]

    keys = jax.random.split(jax.random.key(depth), SEEDS)
    return np.asarray(jax.jit(lambda keys: jnp.mean(jax.lax.map(gradient, keys) ** 2, axis=0))(keys))


def spread(weights: np.ndarray) -> float:
    """The standard deviation along an axis of the place that is drawn by these weights, in the mean of both axes."""
    places = np.arange(len(weights)) - len(weights) // 2
    shares = weights / weights.sum()
    return float(np.sqrt(((shares.sum(0) + shares.sum(1)) / 2) @ places**2))


def train_on_digits(epochs: int) -> tuple[gd.Model, gd.Model, tuple, tuple]:
    """A network of three convolutions, its convolutions alone, its parameters, and the test rows."""
    data = gd.data.load("digits")
    x, y = data.x.reshape(-1, *DIGITS).astype(float), data.y
    train, test = gd.data.split((x, y), (0.8, 0.2), jax.random.key(0), stratify=y)
    sizes = [(1, 16), (16, 16), (16, 16)]
    convolutions = serial(*(layer for a, b in sizes for layer in (conv(a, b, (3, 3)), activation("tanh"))))
    model = serial(convolutions, flatten((8, 8, 16)), dense(8 * 8 * 16, 10))
    loss = gd.per_example(gd.supervised(model, gd.losses.softmax_cross_entropy_with_integer_labels))
    params = model.init(jax.random.key(1))
    result = gd.fit(loss, params, gd.adam(2e-3), train, epochs=epochs, batch_size=64, key=jax.random.key(2))
    return model, convolutions, result.params, test


def unit_gradients(convolutions: gd.Model, params: tuple, x: jax.Array, layers: int) -> np.ndarray:
    """|d unit / d image| of the unit at (2, 2), in the mean over its channels and the images, after so many layers."""
    kept = convolutions.models[: 2 * layers]

    def unit(x):
        for layer, part in zip(kept, params[0], strict=False):
            x = layer.apply(part, x)
        return x[2, 2]

    return np.asarray(jax.jit(lambda x: jnp.abs(jax.vmap(jax.jacrev(unit))(x)).mean((0, 1)))(x))[..., 0]


def draw_heat(axes: Axes, values: np.ndarray, title: str, field: int = 0, middle: int = 0) -> None:
    """Values in shades, with the outline of a field about the middle."""
    axes.imshow(values, cmap="Blues", vmin=0)
    axes.set_title(title, fontsize=style.SMALL)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color=style.RULE)
    if field:
        low, high = (np.clip(middle + sign * field / 2, -0.5, len(values) - 0.5) for sign in (-1, 1))
        axes.add_patch(Rectangle((low, low), high - low, high - low, fill=False, color=style.VERMILLION, linewidth=1.2))


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        widths = {name: [(counted(d[:i]), measured(d[:i])) for i in range(1, DEPTH + 1)] for name, d in DESIGNS.items()}
        head = ("layers", *(str(i) for i in range(1, DEPTH + 1)))
        lab.table(head, [(name, *(f"{ours}" for _, ours in found)) for name, found in widths.items()])
        same = all(theory == ours for found in widths.values() for theory, ours in found)
        lab.claim("each measured field is as wide as the counted one", same)

        squares = {depth: mean_square(depth) for depth in DEPTHS}
        law = {depth: np.sqrt(depth * 8 / 12) for depth in DEPTHS}
        rows = [(depth, counted([Layer(3)] * depth), spread(squares[depth]), law[depth]) for depth in DEPTHS]
        lab.table(("layers of windows of 3", "field", "spread of the gradient", "sqrt(8 L / 12)"), rows)
        near = all(abs(spread(squares[depth]) / law[depth] - 1) < 0.1 for depth in DEPTHS)
        lab.claim("the spread of the gradient is that of a random walk, within 10 %", near)

        model, convolutions, params, (x, y) = train_on_digits(lab.numbers.epochs)
        scores = jax.jit(model.apply)(params, x)
        right = float(np.mean(np.argmax(scores, -1) == y))
        units = {layers: unit_gradients(convolutions, params, x[:100], layers) for layers in (1, 2, 3)}
        distance = np.maximum.outer(abs(np.arange(8) - 2), abs(np.arange(8) - 2))
        outside = {n: distance > n for n in units}
        blind = all(np.all(units[n][outside[n]] == 0) and np.all(units[n][~outside[n]] > 0) for n in units)
        lab.claim(f"on digits ({right:.1%} right) each unit sees all of its field, and nothing outside", blind)
        score = lambda x, label: model.apply(params, x)[label]  # noqa: E731
        gradients = np.asarray(jax.jit(jax.vmap(jax.grad(score)))(x, y))[..., 0]
        size, ink = np.abs(gradients).mean(0), np.asarray(x)[..., 0].mean(0)
        dark, bright = size[ink < 0.05].mean(), size[ink > 0.3].mean()
        lab.claim(
            f"the score moves by {bright:.2g} a pixel where digits stand, by {dark:.2g} beside them", dark < bright
        )
        lab.save(
            draw(widths, squares, units, x, y, gradients),
            "receptive_fields.png",
            "Above, the width of a field by depth; below, the gradient inside it, and what moves the score of a digit.",
        )


def draw(widths, squares, units, x, y, gradients) -> Figure:
    picture = style.figure(7.4, "What a unit of a convolutional network sees")
    grid = picture.add_gridspec(3, 6, height_ratios=(2.1, 1, 1))
    draw_widths(picture.add_subplot(grid[0, :]), widths)
    for i, (depth, square) in enumerate(squares.items()):
        title = f"{depth} layer{'s' * (depth > 1)}"
        draw_heat(picture.add_subplot(grid[1, i]), np.sqrt(square), title, 2 * depth + 1, SIDE // 2)
    for i, (layers, values) in enumerate(units.items()):
        draw_heat(picture.add_subplot(grid[1, 3 + i]), values, f"digits, layer {layers}", 2 * layers + 1, 2)
    for i, row in enumerate(np.unique(y, return_index=True)[1][[2, 3, 7]]):
        draw_heat(picture.add_subplot(grid[2, 2 * i]), np.asarray(x)[row, ..., 0], f"a {y[row]}")
        draw_heat(picture.add_subplot(grid[2, 2 * i + 1]), np.abs(gradients[row]), "what moves it")
    return picture


def draw_widths(axes: Axes, widths: dict[str, list[tuple[int, int]]]) -> None:
    """The counted fields as lines, the measured ones as dots."""
    style.dress(axes)
    style.rule(axes)
    for i, ((name, found), color) in enumerate(zip(widths.items(), palette(len(widths)), strict=True)):
        depths, counts, fields = range(1, DEPTH + 1), *zip(*found, strict=True)
        axes.plot(depths, counts, ":" if i == 3 else "-", color=color, linewidth=3 if i == 3 else 1.4)
        axes.plot(depths, fields, "os^D"[i], color=color, markersize=(5, 5, 9, 5)[i], label=name)
    axes.set_yscale("log", base=2)
    axes.set_yticks([4, 8, 16, 32, 64], ["4", "8", "16", "32", "64"])
    axes.set_xticks(range(1, DEPTH + 1))
    axes.set_xlabel("layers", fontsize=style.NORMAL)
    axes.set_ylabel("width of the field", fontsize=style.NORMAL)
    style.legend(axes)


if __name__ == "__main__":
    main()
