"""How many random guesses is a step of descent worth?

    python -m experiments.random_guessing [--out lab]

The lecture fits y = θ1 x1 + θ2 x2 in two ways: by drawing θ at random and keeping the best, and by descent. Its four
guesses have losses 10.4, 7.2, 1.0 and 16.2, its four points of descent 25.2, 8.7, 1.5 and 0.2. No quadratic has all eight
values at the points drawn, so they are illustrations that cannot be reproduced; their shape can: the losses of guesses
vary, those of descent decrease.

Here the data are on a plane, so that the minimal loss is 0; its largest curvature is four times the smallest, the rate is
1/L, and guesses are uniform in [0, 1] for each parameter. They must hit an ellipse whose share of the box is known, and
need the inverse of that share. Expected: 1,200 guesses for ten steps of descent, 10^13 for fifty; the best of N decreases
like N^(-2/d) with d parameters, so that a loss of 0.05 takes 200 guesses for 2 parameters and 10^17 for 16, but 7 steps in
both cases; a step costs about as much as three guesses. About 20 s.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax.plots import style
from gdjax.search import random_guessing
from gdjax.stopping import never, target

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    target: float = 0.05
    """The loss whose price in guesses and in steps is told."""
    seed: int = 0
    """Of the guesses that are shown."""


ROWS, START_LOSS, STEPS = 16, 25.0, 50
HUNTS, GUESSES, ROUNDS = 100, 100, 500
DIMENSIONS = (2, 4, 8, 16)


class Fit(NamedTuple):
    """Noise-free regression through the origin: y = x · best."""

    x: np.ndarray  # (ROWS, d)
    y: np.ndarray  # (ROWS,)
    best: np.ndarray  # (d,)
    matrix: np.ndarray  # (d, d), the loss is (θ - best)' matrix (θ - best)


def loss(theta, x, y):
    return jnp.mean((y - x @ theta) ** 2)


def regression(d: int) -> Fit:
    """Curvatures from 4 to 1 in turned directions, the loss at 0 being START_LOSS."""
    rng = np.random.default_rng(d)
    columns, turn = np.linalg.qr(rng.normal(size=(ROWS, d)))[0], np.linalg.qr(rng.normal(size=(d, d)))[0]
    best = rng.uniform(0.4, 0.6, d)
    x = columns * np.geomspace(2, 1, d) @ turn.T
    x *= math.sqrt(START_LOSS / np.mean((x @ best) ** 2))
    return Fit(x, x @ best, best, x.T @ x / ROWS)


def descend(fit: Fit) -> np.ndarray:
    """Losses after 0, 1, ..., STEPS steps from 0 and the points, at the rate 1/L."""
    rate = 1 / (2 * np.linalg.eigvalsh(fit.matrix)[-1])
    args = {"args": (fit.x, fit.y), "stop": never(), "max_steps": STEPS, "record": True}
    return gd.minimize(loss, np.zeros(len(fit.best)), gd.sgd(rate), **args).path


def share(fit: Fit, value: float) -> float:
    """The share of the box in which the loss is at most value: the volume of an ellipsoid that is inside the box."""
    d = len(fit.best)
    ball = math.pi ** (d / 2) / math.gamma(d / 2 + 1)
    return ball * value ** (d / 2) / math.sqrt(np.linalg.det(fit.matrix))


def guesses_until(fit: Fit, value: float, hunts: int) -> np.ndarray:
    """The number of guesses that each trial needs to reach the value."""

    def hunt(key):
        how, args = random_guessing(0.0, 1.0), (fit.x, fit.y)
        start = jnp.full(len(fit.best), 1e3)  # worse than any guess
        return gd.minimize(loss, start, how, stop=target(value), max_steps=10**6, args=args, key=key).steps

    return np.asarray(jax.jit(jax.vmap(hunt))(jax.random.split(jax.random.key(0), hunts)))


def best_of(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """N, and the median over the trials of the best of N guesses."""

    def hunt(key):
        how, args = random_guessing(0.0, 1.0, GUESSES), (fit.x, fit.y)
        start = jnp.full(len(fit.best), 1e3)
        return gd.minimize(loss, start, how, max_steps=ROUNDS, record=True, args=args, key=key).path.value

    values = jax.jit(jax.vmap(hunt))(jax.random.split(jax.random.key(1), HUNTS))
    return GUESSES * np.arange(1, ROUNDS + 1), np.median(values, axis=0)[1 : ROUNDS + 1]


def slope(number: np.ndarray, values: np.ndarray) -> float:
    """The slope of the logarithms, over points that are evenly spaced on a logarithmic scale."""
    picked = np.unique(np.geomspace(1, len(number), 30).astype(int)) - 1
    return float(np.polyfit(np.log(number[picked]), np.log(values[picked]), 1)[0])


def draw(fit: Fit, path, drawn: np.ndarray, curves: dict, falls: dict):
    picture = style.figure(4.3, "More parameters: many more guesses, the same few steps")
    left, right = picture.subplots(1, 2, width_ratios=(1, 1.15))
    sides = np.linspace(0, 1, 150)
    grid = np.stack(np.meshgrid(sides, sides), axis=-1) - fit.best
    ground = np.einsum("...i,ij,...j", grid, fit.matrix, grid)
    levels = START_LOSS * 2.0 ** np.arange(-8, 3)
    left.contour(sides, sides, ground, levels=levels, colors=style.FAINT, linewidths=0.6)
    left.plot(*drawn.T, ".", color=style.VERMILLION, markersize=3, label=f"{len(drawn)} guesses")
    left.plot(*path.params.T, "o-", color=style.BLUE, markersize=4, linewidth=1.5, label="descent from 0")
    left.plot(*fit.best, "*", color=style.INK, markersize=11, label="least loss")
    left.set(xlabel="θ1", ylabel="θ2", xlim=(-0.02, 1), ylim=(-0.02, 1))
    for color, (d, (number, values)) in zip(style.palette(len(curves)), curves.items(), strict=True):
        words = f"{d} parameter{'s' * (d > 1)}"
        right.plot(number, values, color=color, linewidth=1.8, label=words)
        right.plot(np.arange(1, STEPS + 1), falls[d][1:], "--", color=color, linewidth=1.3)
    right.plot([], [], "-", color=style.MUTED, label="best of N guesses")
    right.plot([], [], "--", color=style.MUTED, label="descent, N steps")
    right.set(xscale="log", yscale="log", ylim=(1e-9, 60), xlabel="N, guesses or steps", ylabel="loss J")
    for axes in (left, right):
        style.dress(axes)
        axes.legend(fontsize=style.SMALL - 1, loc="lower right", framealpha=0.92)
    style.rule(right)
    return picture


def four_of_each(lab: Lab, fit: Fit, path, seed: int) -> np.ndarray:
    """The lecture's four guesses and its four points of descent, beside ours; the points drawn."""
    drawn = np.random.default_rng(seed).uniform(size=(100, 2))
    guessed = [float(loss(theta, fit.x, fit.y)) for theta in drawn[:4]]
    lecture = ((10.4, 25.2), (7.2, 8.7), (1.0, 1.5), (16.2, 0.2))
    rows = [(t + 1, guessed[t], lecture[t][0], path.value[t], lecture[t][1]) for t in range(4)]
    lab.table(("t", "guess", "lecture's guess", "descent", "lecture's descent"), rows)
    lab.claim(
        "descent goes down at each of its steps, and the first four guesses up and down, as in the lecture",
        np.all(np.diff(path.value) < 0) and len(set(np.sign(np.diff(guessed)))) == 2,
    )
    words = "four random guesses have losses 10.4, 7.2, 1.0 and 16.2"
    ours = f"{', '.join(f'{value:.1f}' for value in guessed)}: up and down too, on data of ours"
    lab.statement("Lecture S2", words, ours=ours, verdict="illustration")
    words = "four points of descent have losses 25.2, 8.7, 1.5 and 0.2; no quadratic has all eight values"
    ours = f"{', '.join(f'{value:.2g}' for value in path.value[:4])}: falling too, on data of ours"
    lab.statement("Lecture S2", words, ours=ours, verdict="illustration")
    return drawn


def worth(lab: Lab, fit: Fit, path) -> None:
    """How many guesses the steps of descent are worth."""
    hunted = {k: float(np.mean(guesses_until(fit, float(path.value[k]), 1000))) for k in (5, 10)}
    wanted = {k: 1 / share(fit, float(path.value[k])) for k in (5, 10, 20, 50)}
    rows = [(k, path.value[k], wanted[k], hunted.get(k, "")) for k in wanted]
    lab.table(("steps of descent", "their loss", "guesses, 1 / share", "mean of 1000 hunts"), rows)
    lab.claim(
        "hunts take one over the share of the box, to 10 %",
        all(abs(hunted[k] / wanted[k] - 1) < 0.1 for k in hunted),
    )
    lab.claim("ten steps of descent are worth a thousand guesses", hunted[10] > 1000)
    lab.claim("fifty steps are worth more than 10^12", wanted[50] > 1e12)
    words = "drawing at random is a naive idea, descent a better one"
    ours = f"ten steps are worth {hunted[10]:,.0f} guesses, fifty {wanted[50]:.0e}"
    lab.statement("Lecture S2", words, ours=ours, verdict="right", holds=hunted[10] > 10)


def with_more_parameters(lab: Lab, fits: dict[int, Fit], paths: dict, aim: float) -> dict:
    """The best of N guesses by the number of parameters."""
    curves = {d: best_of(fit) for d, fit in fits.items()}
    slopes = {d: slope(*curve) for d, curve in curves.items()}
    last = {d: float(values[-1]) for d, (_, values) in curves.items()}
    steps = {d: int(np.argmax(path.value <= aim)) for d, path in paths.items()}
    needed = {d: 1 / share(fit, aim) for d, fit in fits.items()}
    rows = [(d, curves[d][1][0], last[d], slopes[d], -2 / d, needed[d], steps[d]) for d in fits]
    head = ("parameters", "best of 100", "best of 50,000", "slope", "-2/d", f"guesses to {aim:g}", "steps to it")
    lab.table(head, rows)
    near = all(abs(slopes[d] * d / -2 - 1) < 0.1 for d in fits)
    lab.claim("the best of N falls as N^(-2/d), the power to 10 %", near)
    lab.claim(
        "more parameters, a worse best of 50,000: tenfold from 2 to 4, from 4 to 8",
        last[8] > 10 * last[4] > 100 * last[2],
    )
    lab.claim(
        "descent takes no more steps for 16 parameters than for 2, give or take 3", abs(steps[16] - steps[2]) <= 3
    )
    return curves


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        fits = {d: regression(d) for d in DIMENSIONS}
        paths = {d: descend(fit) for d, fit in fits.items()}
        fit, path = fits[2], paths[2]
        drawn = four_of_each(lab, fit, path, lab.numbers.seed)
        worth(lab, fit, path)
        curves = with_more_parameters(lab, fits, paths, lab.numbers.target)
        lab.save(
            draw(fit, path, drawn, curves, {d: p.value for d, p in paths.items()}),
            "random_guessing.png",
            "Left: a hundred guesses and the points of descent. Right: the best loss by guesses or steps, by parameters.",
        )


if __name__ == "__main__":
    main()
