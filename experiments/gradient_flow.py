"""Where does descent go for ever smaller steps, and does the gradient point to the minimum?

    python -m experiments.gradient_flow [--out lab] [--rate 0.02] [--starts 9]

Lecture S1 calls the negative gradient the direction of locally steepest decrease, and notes that it does not point to a
minimum, local or global; lecture S2 draws the field of negative gradients with the paths of infinitesimal steps over it.
The limit of infinitesimal steps is gradient flow, dp/dt = -∇f(p), integrated here to a relative 1e-10. Descent at rate r is
Euler's method for it, so that its distance from the flow at the same time t, after t / r steps, must halve with the rate:
order 1.

Expected: on Himmelblau's function and in Rosenbrock's valley the order is within 0.02 of 1 for the smallest steps. Along
the flow f decreases by the integral of |∇f|², to 1e-5. Of 3600 directions around a point none decreases f faster than the
negative gradient, within 0.1 degree. The angle between it and the nearest minimum of Himmelblau's function is 28 degrees on
average over 500 points, and 0 for a round bowl. From 81 starts on a grid every flow ends in the nearest of the four minima,
to which the gradient did not point: the paths bend. About 15 s.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax.plots import contour, style
from gdjax.plots._landscape import draw_ground
from gdjax.stopping import never

from .lab import Lab

HIMMELBLAU, ROUND = gd.problems.himmelblau(), gd.problems.sum_of_squares()
CASES = [(HIMMELBLAU, 0.2, 0.02), (gd.problems.rosenbrock(), 1.28, 0.001)]  # (problem, time, longest step)
DIRECTIONS = 3600
ROWS = 10  # times at which flow and descent are compared, besides the first


@dataclasses.dataclass(frozen=True)
class Numbers:
    rate: float = 0.02
    """The longest of three rates of the first picture, halved twice."""
    starts: int = 9
    """Flows of the second picture start on a grid of so many points a side."""


def flow(problem: gd.problems.Problem, times):
    return np.asarray(gd.gradient_flow(problem.f, problem.start, times, rtol=1e-10))


def walk(problem: gd.problems.Problem, time: float, rate: float, rows: int | bool = ROWS + 1):
    """The points of descent at the times of the flow."""
    steps, optimizer = round(time / rate), gd.sgd(rate)
    return gd.minimize(problem.f, problem.start, optimizer, stop=never(), max_steps=steps, record=rows).path.params


def distances(problem: gd.problems.Problem, time: float, longest: float):
    """(rates, largest distance of descent from the flow at the same time)."""
    rates, there = longest / 2.0 ** np.arange(7), flow(problem, np.linspace(0, time, ROWS + 1))
    return rates, np.array([np.linalg.norm(walk(problem, time, r) - there, axis=1).max() for r in rates])


def fall_by_integral(problem: gd.problems.Problem, time: float) -> float:
    """The integral of |∇f|² along the flow, divided by the decrease of f, which should be 1."""
    times = time * np.linspace(0, 1, 10_001) ** 3  # most of them at the beginning, where it is steep
    path = flow(problem, times)
    slopes = jax.vmap(jax.grad(problem.f))(path)
    integral = np.trapezoid(np.sum(slopes**2, axis=1), times)
    return float(integral / (problem(path[0]) - problem(path[-1])))


def degrees(a, b):
    cosine = jnp.sum(a * b, -1) / (jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1))
    return jnp.degrees(jnp.arccos(jnp.clip(cosine, -1, 1)))


def steepest(problem: gd.problems.Problem, point):
    """Degrees between the negative gradient and the direction in which f decreases most within 1e-6."""
    angles = jnp.linspace(0, 2 * math.pi, DIRECTIONS, endpoint=False)
    around = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)
    best = around[jnp.argmin(jax.vmap(problem.f)(point + 1e-6 * around))]
    return degrees(-jax.grad(problem.f)(point), best)


def off_minimum(problem: gd.problems.Problem, point):
    """Degrees between the negative gradient and the direction of the nearest minimum."""
    ways = jnp.stack(problem.minima) - point
    return degrees(-jax.grad(problem.f)(point), ways[jnp.argmin(jnp.linalg.norm(ways, axis=-1))])


def orders(lab: Lab) -> None:
    for problem, time, longest in CASES:
        rates, far = distances(problem, time, longest)
        order = np.log2(far[:-1] / far[1:])
        lab.table(
            (problem.name, "steps", "farthest", "order"),
            zip(rates, np.round(time / rates), far, [None, *order], strict=True),
        )
        lab.claim(f"{problem.name}: the distance falls like the rate, order {order[-1]:.3f}", abs(order[-1] - 1) < 0.02)
        gap = fall_by_integral(problem, time) - 1
        lab.claim(f"{problem.name}: f falls by the integral of |∇f|², to {abs(gap):.1e}", abs(gap) < 1e-5)


def directions(lab: Lab) -> float:
    """What the negative gradient is beside other directions; how far it is off the minima of Himmelblau's function."""
    found = {}
    points = jnp.asarray(np.random.default_rng(0).uniform(-4, 4, (500, 2)))
    for problem, low, high in ((HIMMELBLAU, 25, 35), (ROUND, -1, 1e-4)):
        worst = float(jax.vmap(lambda p, problem=problem: steepest(problem, p))(points).max())
        off = float(jax.vmap(lambda p, problem=problem: off_minimum(problem, p))(points).mean())
        found[problem.name] = worst, off
        lab.claim(f"{problem.name}: no direction falls faster than -∇f, within {worst:.2f} degrees", worst < 0.1)
        lab.claim(f"{problem.name}: -∇f is {off:.3g} degrees off the nearest minimum on average", low < off < high)
    words, worst = (
        "the negative gradient is the direction of locally steepest decrease",
        max(w for w, _ in found.values()),
    )
    ours = f"of {DIRECTIONS:,} directions that of the fastest fall is within {worst:.2f} degrees of it"
    lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=worst < 0.1)
    return found[HIMMELBLAU.name][1]


def flows(starts: int) -> np.ndarray:
    """The flows from a grid over Himmelblau's function, (starts², times, 2)."""
    (low, high), _ = HIMMELBLAU.bounds
    inner = 0.9 * np.linspace(low, high, starts)
    points = jnp.asarray(np.stack(np.meshgrid(inner, inner), axis=-1).reshape(-1, 2))
    times = jnp.asarray(2.0 * np.linspace(0, 1, 121) ** 3)
    return np.asarray(jax.jit(jax.vmap(lambda p: gd.gradient_flow(HIMMELBLAU.f, p, times, rtol=1e-6)))(points))


def ends(lab: Lab, paths: np.ndarray, off: float) -> None:
    """Which minimum each flow ends in, and whether it was the nearest."""
    minima = np.stack(HIMMELBLAU.minima)
    away = np.linalg.norm(paths[:, -1, None] - minima, axis=-1)
    near = np.linalg.norm(paths[:, 0, None] - minima, axis=-1)
    ended, nearest = away.argmin(axis=1), near.argmin(axis=1)
    rows = [(f"({x:.2f}, {y:.2f})", np.sum(ended == i), np.sum(nearest == i)) for i, (x, y) in enumerate(minima)]
    lab.table(("minimum", "flows that end there", "starts nearest to it"), rows)
    values = np.asarray(jax.vmap(jax.vmap(HIMMELBLAU.f))(jnp.asarray(paths)))
    others = float(np.mean(ended != nearest))
    lab.claim("every flow ends in one of the four minima, to 1e-3", away.min(axis=1).max() < 1e-3)
    lab.claim(
        "along every flow f falls, but for the integration's error",
        np.all(np.diff(values, axis=1) <= 1e-5 * values[:, :1]),
    )
    lab.claim(
        "the paths bend: nearly all end in the nearest minimum, to which the gradient does not point", others < 0.05
    )
    words = "the direction of steepest decrease does not point to a minimum, local or global"
    ours = f"{off:.0f} degrees off the nearest on average, though {100 * (1 - others):.0f} % of the flows end there"
    lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=off > 10)


def draw_flows(paths: np.ndarray):
    """The field of negative gradients, all arrows alike long, with the paths of infinitesimal steps over it."""
    picture = style.figure(6.4, "Infinitesimal steps follow the arrows into one of four minima")
    axes = picture.subplots()
    draw_ground(picture, axes, HIMMELBLAU.f, HIMMELBLAU.bounds, ("x", "y"))
    x = np.linspace(-5.6, 5.6, 19)
    points = np.stack(np.meshgrid(x, x), axis=-1)
    slopes = np.asarray(jax.vmap(jax.vmap(jax.grad(HIMMELBLAU.f)))(jnp.asarray(points)))
    unit = -slopes / np.maximum(np.linalg.norm(slopes, axis=-1, keepdims=True), 1e-12)
    look = {"color": style.MUTED, "pivot": "mid", "width": 0.0022, "headwidth": 5, "scale": 34, "zorder": 3}
    axes.quiver(*np.moveaxis(points, -1, 0), *np.moveaxis(unit, -1, 0), **look)
    minima = np.stack(HIMMELBLAU.minima)
    ended = np.linalg.norm(paths[:, -1, None] - minima, axis=-1).argmin(axis=1)
    for path, i in zip(paths, ended, strict=True):
        axes.plot(*path.T, color=style.PALETTE[i], linewidth=1.5, zorder=4)
        axes.plot(*path[0], "o", color=style.PALETTE[i], markersize=3.5, zorder=5)
    axes.plot(*minima.T, "X", color=style.INK, markersize=11, markeredgecolor=style.PAPER, zorder=6)
    axes.set_aspect("equal")
    return picture


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        orders(lab)
        off = directions(lab)
        paths = {"gradient flow": flow(HIMMELBLAU, np.linspace(0, 0.2, 201))}
        rates = [lab.numbers.rate / 2**i for i in range(3)]
        paths |= {f"descent at rate {rate:g}": walk(HIMMELBLAU, 0.2, rate, True) for rate in rates}
        title = "The shorter the steps, the nearer descent comes to gradient flow"
        corner = (-0.3, 4), (-0.3, 3.2)
        found = contour(HIMMELBLAU, corner, paths, HIMMELBLAU.minima[:1], title)
        lab.save(found, "gradient_flow.png", "Descent at three rates, and the flow that it tends to.")
        over = flows(lab.numbers.starts)
        ends(lab, over, off)
        caption = (
            "The field of negative gradients with paths of infinitesimal steps, colored by the minimum they end in."
        )
        lab.save(draw_flows(over), "gradient_field.png", caption)


if __name__ == "__main__":
    main()
