"""Three bowls, one rate: why does descent diverge on the third, and which methods survive it?

    python -m experiments.three_bowls [--out lab] [--rate 0.02] [--start 2]

Lecture S0 shows x² + y², 10x² + y² and 100x² + y² in three dimensions. Their gradients are (2x, 2y), (20x, 2y) and (200x,
2y), so that from a point with x = y one step along y stands for 1, 10 and 100 along x: ill-conditioning. Descent converges
on the first two and diverges on the third; a very small step would cure that slowly, RMSProp and Adam, also with momentum,
quickly. It names no rate; here it is 0.02 from (2, 2). Then one step multiplies x by 1 - 2 a rate: 0.96, 0.6 and -3.

Expected: gradients and ratios exactly; plain descent converges on the first two, along x faster on the second, and on the
third grows threefold a step. Its largest rate there is 0.01, and 0.0001 takes 70 times the steps of 0.0099. Of RMSProp,
RMSProp with momentum 0.9 and Adam none diverges; at a constant rate only Adam arrives, RMSProp stays about rate / 2 away on
each axis. As the lecture writes RMSProp, without ε, it divides 0 by 0 wherever an entry of the gradient is 0 from the
start: from (2, 0), y is NaN after one step. About 6 s.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import gdjax as gd
from gdjax.plots import style
from gdjax.stopping import gradient_norm, never
from gdjax.types import Stop

from .lab import Lab

BOWLS, STEPS = (1.0, 10.0, 100.0), 1500
NAMES = ("x² + y²", "10x² + y²", "100x² + y²")
GRADIENTS = ("(2x, 2y)", "(20x, 2y)", "(200x, 2y)")


@dataclasses.dataclass(frozen=True)
class Numbers:
    rate: float = 0.02
    """The learning rate of all methods on all bowls."""
    start: float = 2.0
    """Both coordinates of the point where all begin."""


def run(a: float, optimizer, start, steps: int = STEPS, stop=None) -> gd.Minimum:
    bowl = gd.problems.bowl(a)
    at = jnp.broadcast_to(jnp.asarray(start, float), (2,))
    return gd.minimize(bowl.f, at, optimizer, args=bowl.args, stop=stop or never(), max_steps=steps, record=True)


def methods(rate: float) -> dict:
    return {
        "plain descent": gd.sgd(rate),
        "momentum 0.9": gd.momentum(rate),
        "RMSProp": gd.rmsprop(rate),
        "RMSProp, momentum 0.9": gd.rmsprop(rate, momentum=0.9),
        "Adam": gd.adam(rate),
    }


def gradients(lab: Lab) -> None:
    """The three gradients at a thousand points, and the ratio of their entries where x = y."""
    points = jax.random.normal(jax.random.key(0), (1000, 2))
    rows, ratios, exact = [], [], []
    for a, name, words in zip(BOWLS, NAMES, GRADIENTS, strict=True):
        slope = jax.vmap(jax.grad(lambda p, a=a: a * p[0] ** 2 + p[1] ** 2))(points)
        exact.append(bool(jnp.allclose(slope, points * jnp.array([2 * a, 2.0]), rtol=1e-14, atol=0)))
        at = jax.grad(gd.problems.bowl(a).f)(jnp.array([2.0, 2.0]), a)
        ratios.append(float(at[0] / at[1]))
        rows.append((name, words, f"({at[0]:g}, {at[1]:g})", ratios[-1]))
    lab.table(("bowl", "gradient", "at (2, 2)", "x steps in one of y"), rows)
    lab.claim("the gradients are (2x, 2y), (20x, 2y) and (200x, 2y) at 1000 points", all(exact))
    lab.claim("where x = y a step along y stands for 1, 10 and 100 along x", ratios == [1, 10, 100])
    words, ours = "where x = y the steps are 1 : 1, 1 : 10 and 1 : 100", ", ".join(f"1 : {ratio:g}" for ratio in ratios)
    lab.statement("Lecture S0", words, ours=ours, verdict="right", holds=ratios == [1, 10, 100])


def survival(lab: Lab, rate: float, start: float) -> dict[tuple[float, str], gd.Minimum]:
    runs = {(a, name): run(a, method, start) for a in BOWLS for name, method in methods(rate).items()}
    far = {key: float(np.max(np.abs(r.path.params[-200:]))) for key, r in runs.items()}
    ends = {
        key: "diverged" if r.stop == Stop.DIVERGED else "arrived" if far[key] < 1e-6 else "near"
        for key, r in runs.items()
    }
    names = dict(zip(BOWLS, NAMES, strict=True))
    lab.table(
        ("bowl", "method", "end", "steps", "farthest of the last 200"),
        [(names[a], name, ends[a, name], r.steps, far[a, name]) for (a, name), r in runs.items()],
    )
    plain = [ends[a, "plain descent"] for a in BOWLS]
    lab.claim(
        "plain descent arrives on the first two bowls and diverges on the third",
        plain == ["arrived"] * 2 + ["diverged"],
    )
    first, second = (np.abs(runs[a, "plain descent"].path.params[20]) for a in BOWLS[:2])
    lab.claim(
        "on the second x is nearer than y after 20 steps, on the first as near",
        second[0] < 1e-3 * second[1] and first[0] == first[1],
    )
    third = {name: ends[100.0, name] for name in methods(rate)}
    adaptive = [name for name in third if name.startswith(("RMSProp", "Adam"))]
    lab.claim(
        "neither RMSProp, with and without momentum, nor Adam diverges on the third",
        all(third[n] != "diverged" for n in adaptive),
    )
    lab.claim("of these only Adam arrives", [n for n in adaptive if third[n] == "arrived"] == ["Adam"])
    hover = far[100.0, "RMSProp"] / rate
    lab.claim(f"RMSProp stays half a rate away, here {hover:.2f}", 0.45 < hover < 0.6)
    says = "descent converges on the first two bowls and diverges on the third"
    ours = f"so at rates from {1 / BOWLS[2]:g} to {1 / BOWLS[1]:g}, as at {rate:g}"
    lab.statement("Lecture S0", says, ours=ours, verdict="right", holds=plain == ["arrived"] * 2 + ["diverged"])
    says = "RMSProp and Adam, with momentum too, overcome severe ill-conditioning without diverging"
    ours = f"none diverges; at a constant rate RMSProp hovers {hover:.2f} rates away, Adam arrives"
    judged = {
        "holds": all(third[name] == "arrived" for name in adaptive),
        "partly": all(third[name] != "diverged" for name in adaptive),
    }
    lab.statement("Lecture S0", says, ours=ours, verdict="imprecise", **judged)
    return runs


def small_steps(lab: Lab, start: float) -> None:
    """What a rate costs that is small enough for the third bowl."""
    arrived = gradient_norm(1e-4)
    counts = {rate: run(100.0, gd.sgd(rate), start, 200_000, arrived) for rate in (0.0101, 0.0099, 0.001, 0.0001)}
    lab.table(("rate on the third bowl", "end", "steps"), [(rate, r.stop.name, r.steps) for rate, r in counts.items()])
    lab.claim(
        "above 0.01 it diverges, below it arrives",
        [r.stop.name for r in counts.values()] == ["DIVERGED"] + ["CONVERGED"] * 3,
    )
    ratio = counts[0.0001].steps / counts[0.0099].steps
    lab.claim(f"a rate of 0.0001 takes {ratio:.0f} times the steps of 0.0099", 60 < ratio < 80)
    words = "a very small step would do, but slow the algorithm down much"
    ours = f"{counts[0.0099].steps:,} steps at 0.0099, {counts[0.0001].steps:,} at 0.0001"
    slow = ratio > 10 and counts[0.0001].stop == Stop.CONVERGED
    lab.statement("Lecture S0", words, ours=ours, verdict="right", holds=slow)


def zero_by_zero(lab: Lab, rate: float) -> None:
    """The lecture's RMSProp, which has no ε, from a point where one entry of the gradient is 0."""
    slope = jax.grad(gd.problems.bowl(100.0).f)(jnp.array([2.0, 0.0]), 100.0)
    mean = 0.1 * slope**2
    literal = np.asarray(jnp.array([2.0, 0.0]) - rate * slope / jnp.sqrt(mean))
    ours = np.asarray(run(100.0, gd.rmsprop(rate), (2.0, 0.0), 1).params)
    lab.table(
        ("one step from (2, 0)", "x", "y"),
        [("as written, no ε", *map(str, literal)), ("with ε = 1e-8", *map(str, ours))],
    )
    lab.claim("without ε, y is NaN after one step; with it, 0", np.isnan(literal[1]) and ours[1] == 0)
    says = "RMSProp divides the gradient by the root of its running mean of squares"
    ours, nan = "0 / 0 where the gradient starts at 0; an ε is needed", np.isnan(literal)
    lab.statement("Lecture S0", says, ours=ours, verdict="imprecise", holds=not nan.any(), partly=not nan[0])


def draw(rate: float, start: float) -> Figure:
    picture = style.figure(3.3, f"One rate, {rate:g}, on three bowls: the third throws descent out")
    for i, (a, name, words) in enumerate(zip(BOWLS, NAMES, GRADIENTS, strict=True)):
        axes = picture.add_subplot(1, 3, i + 1, projection="3d", computed_zorder=False)
        found = run(a, gd.sgd(rate), start, 150)
        path = np.asarray(found.path.params)
        out = np.flatnonzero(np.abs(path).max(axis=1) > 1.3 * abs(start))
        seen = path[: out[0] + 1] if len(out) else path
        draw_bowl(axes, a, seen)
        ends = (
            f"then x = {', '.join(f'{x:g}' for x in path[out[0] + 1 : out[0] + 3, 0])}, ..." if len(out) else "arrives"
        )
        axes.set_title(f"{name},  ∇f = {words}\n{ends}", fontsize=style.SMALL, color=style.INK)
    return picture


def draw_bowl(axes, a: float, path: np.ndarray) -> None:
    """The bowl a x² + y² as far as the path goes, and the path on it."""
    reach = 1.3 * np.abs(path).max(axis=0)
    x, y = np.meshgrid(*(np.linspace(-far, far, 61) for far in reach))
    ground = {"color": "#a9bccd", "alpha": 0.5, "linewidth": 0.2, "edgecolor": "#8aa0b5", "rcount": 20, "ccount": 20}
    axes.plot_surface(x, y, a * x**2 + y**2, zorder=1, **ground)
    heights = a * path[:, 0] ** 2 + path[:, 1] ** 2
    axes.plot(*path.T, heights, "o-", color=style.VERMILLION, linewidth=1.6, markersize=3.5, zorder=3)
    axes.plot(*path[:1].T, heights[:1], "o", color=style.INK, markersize=6, zorder=4)
    axes.view_init(28, -60)
    axes.set_box_aspect(None, zoom=1.12)
    axes.locator_params(nbins=4)
    axes.tick_params(labelsize=8, pad=-3)
    axes.set_xlabel("x", fontsize=style.SMALL, labelpad=-8)
    axes.set_ylabel("y", fontsize=style.SMALL, labelpad=-8)


def draw_distances(runs: dict[tuple[float, str], gd.Minimum], rate: float) -> Figure:
    picture = style.figure(4.4, "On the third bowl Adam arrives, RMSProp hovers, the others leave")
    axes = picture.subplots()
    style.dress(axes)
    style.rule(axes)
    for name, color in zip(methods(rate), style.PALETTE, strict=False):
        distance = np.linalg.norm(runs[100.0, name].path.params[:800], axis=1)
        axes.plot(
            distance,
            color=color,
            linewidth=2.4 if len(distance) < 9 else 1.4,
            marker="o" if len(distance) < 9 else None,
            label=name,
        )
    axes.set(yscale="log", ylim=(1e-9, 1e4), xlim=(-8, 700))
    axes.set_xlabel(f"step at rate {rate:g}", fontsize=style.NORMAL)
    axes.set_ylabel("distance from the minimum", fontsize=style.NORMAL)
    axes.legend(fontsize=style.SMALL, loc="upper right", ncols=2, edgecolor=style.RULE)
    return picture


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        rate, start = lab.numbers.rate, lab.numbers.start
        gradients(lab)
        runs = survival(lab, rate, start)
        small_steps(lab, start)
        zero_by_zero(lab, rate)
        lab.save(
            draw(rate, start),
            "three_bowls.png",
            "Descent at one rate on the lecture's three bowls, from the same start.",
        )
        caption = "Five methods on the steepest bowl: who leaves, who hovers, who arrives."
        lab.save(draw_distances(runs, rate), "three_bowls_methods.png", caption)


if __name__ == "__main__":
    main()
