"""How do three searches find a minimum: by trying both sides, by the sign of the derivative, by the derivative itself?

    python -m experiments.find_the_minimum [--out lab] [--start 16.5] [--step 0.01]

Lecture S0 starts at 16.5, takes steps of 0.01 and finds the minimum 2 after 1450 steps with either of the first two
searches. It names neither the function nor the learning rate; here they are (x - 2)² and 0.01, and the stop is |f'| <=
1e-4. Two more starts and steps show how the count arises: distance / step for the first two searches, and ln(|f'| / 1e-4) /
rate' for the gradient. The step is the precision, says the lecture: an irrational minimum is found to 0.1, to one decimal.
It objects to the first search that it evaluates the function twice a step, 2p times in p dimensions. The sign of the
derivative is enough since f(x + ε) ≈ f(x) + ε f'(x), for x with equality.

Expected: 1450, 1450, 623 steps; the fixed steps end within 1e-9 of 2, in double precision. As its code is written, which
evaluates f(x) and both sides again and again, the first search takes 4 evaluations a step from this side of 2, and 6 from
the other, where one new one would do: it knows f(x) and whence it came. √2, the minimum of (x² - 2)², is found to within
the step, 0.1 to 0.0001, in ten times the steps for each decimal. For x² the approximation misses by ε². About 5 s.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import gdjax as gd
from gdjax.plots import style
from gdjax.search import fixed_step, sign_step
from gdjax.stopping import gradient_norm

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    start: float = 16.5
    """The initial guess."""
    step: float = 0.01
    """The step of the first two searches, the learning rate of the third."""


def f(x):
    return (x - 2.0) ** 2


WORDS = ("try both sides", "sign of f'", "gradient")
MORE = [(-3.0, 0.01), (16.5, 0.1)]
SHOWN = 25.0  # as many times the step are the steps of the picture


def searches(start: float, step: float) -> dict[str, gd.Minimum]:
    most = {"max_steps": 100_000, "record": True}
    return {
        "try both sides": gd.minimize(f, start, fixed_step(step), **most),
        "sign of f'": gd.minimize(f, start, sign_step(step), **most),
        "gradient": gd.minimize(f, start, gd.sgd(step), stop=gradient_norm(1e-4), **most),
    }


def predict_steps(method: str, start: float, step: float) -> int:
    """The expected number of steps: the first two move by one step each, descent multiplies the slope by 1 - 2 step."""
    if method == "gradient":
        return math.ceil(math.log(1e-4 / abs(2 * (start - 2))) / math.log(abs(1 - 2 * step)))
    return round(abs(start - 2) / step)


def evaluations(start: float, step: float) -> dict[str, tuple[int, int]]:
    """(evaluations of f, of f') of the lecture's three programs, run as they are written."""
    counts = [0, 0]

    def function(x):
        counts[0] += 1
        return (x - 2.0) ** 2

    def derivative(x):
        counts[1] += 1
        return 2 * (x - 2.0)

    def take(kind: str) -> tuple[int, int]:
        counts[:] = [0, 0]
        x = start
        if kind == "gradient":
            while abs(derivative(x)) > 1e-4:
                x = x - step * derivative(x)
            return counts[0], counts[1]
        while function(x) > function(x - step) or function(x) > function(x + step):
            up = function(x - step) > function(x + step) if kind == WORDS[0] else derivative(x) <= 0
            x = x + step if up else x - step
        return counts[0], counts[1]

    return {kind: take(kind) for kind in WORDS}


def irrational(lab: Lab) -> None:
    """√2 as the minimum of (x² - 2)², by ever smaller steps from 0.5."""
    rows = []
    for step in (0.1, 0.01, 0.001, 0.0001):
        found = gd.minimize(lambda x: (x**2 - 2) ** 2, 0.5, fixed_step(step), max_steps=20_000)
        rows.append((step, found.steps, f"{float(found.params):.5f}", abs(float(found.params) - math.sqrt(2)) / step))
    lab.table(("step", "steps", "found for √2 = 1.41421", "off by so many steps"), rows)
    lab.claim("√2 is found to within one step, for each of four steps", all(row[3] <= 1 for row in rows))
    steps = [row[1] for row in rows]
    ten = all(abs(b / a - 10) < 0.6 for a, b in itertools.pairwise(steps))
    lab.claim("each further decimal takes ten times the steps", ten)
    words = "the step is the precision: an irrational minimum is found up to one decimal by steps of 0.1"
    lab.statement(
        "Lecture S0",
        words,
        ours=f"√2 as {rows[0][2]}, and within the step for smaller ones",
        verdict="right",
        holds=all(row[3] <= 1 for row in rows),
    )


def approximation(lab: Lab) -> None:
    """f(x + ε) = f(x) + ε f'(x) for x, and up to ε² for x²."""
    x, eps = 3.0, np.array([1.0, 0.1, 0.01])
    of_line = [float((x + e) - (x + e * jax.grad(lambda x: x)(x))) for e in eps]
    of_square = np.array([float((x + e) ** 2 - (x**2 + e * jax.grad(lambda x: x**2)(x))) for e in eps])
    lab.claim("for x, f(x + ε) = f(x) + ε f'(x), with equality", max(map(abs, of_line)) == 0)
    lab.claim("for x² it misses by ε²", np.all(np.abs(of_square - eps**2) < 1e-14))


def counts(lab: Lab, start: float, step: float) -> None:
    """How often the three programs evaluate f and f', and the first search in p dimensions."""
    taken = evaluations(start, step)
    steps = {kind: predict_steps(kind, start, step) for kind in WORDS}
    rows = [(kind, *taken[kind], sum(taken[kind]) / steps[kind]) for kind in WORDS]
    lab.table(("search, as written", "of f", "of f'", "a step"), rows)
    below = sum(evaluations(2 - abs(start - 2), step)[WORDS[0]]) / steps[WORDS[0]]
    lab.claim(
        "the first program takes four evaluations a step from above, six from below",
        abs(rows[0][3] - 4) < 0.01 and abs(below - 6) < 0.01,
    )
    lab.claim("the third two of the derivative, and none of f", abs(rows[2][3] - 2) < 0.1 and taken["gradient"][0] == 0)
    found = []
    for p in (1, 2, 10):
        ends = gd.minimize(lambda x: jnp.sum((x - 2.0) ** 2), jnp.full(p, 2.5), fixed_step(0.1))
        found.append((p, 2 * p, ends.steps))
    lab.table(("p", "values a step", "steps from 2.5 to 2"), found)
    lab.claim(
        "in p dimensions it goes one coordinate a step, 5p steps of 2p values", [r[2] for r in found] == [5, 10, 50]
    )
    words = "the first search evaluates the function twice at each step"
    lab.statement(
        "Lecture S0",
        words,
        ours=f"{rows[0][3]:.0f} times from above, {below:.0f} from below, as its program is written",
        verdict="wrong",
        holds=abs(rows[0][3] - 2) < 0.01,
    )


def draw(start: float, step: float) -> Figure:
    """The lecture's picture: points that walk down a parabola, for steps large enough to be seen."""
    wide, rate = SHOWN * step * 4, SHOWN * step
    title = "Fixed steps are equally long, the gradient's shrink with the slope"
    picture = style.figure(4.4, title)
    x = np.linspace(2 - abs(start - 2) * 1.05, 2 + abs(start - 2) * 1.05, 400)
    runs = {
        f"by the sign of f', step {wide:g}: ": (gd.minimize(f, start, sign_step(wide), record=True), style.BLUE),
        f"by f' itself, rate {rate:g}: ": (
            gd.minimize(f, start, gd.sgd(rate), stop=gradient_norm(1e-4), record=True, max_steps=200),
            style.VERMILLION,
        ),
    }
    for axes, (words, (found, color)) in zip(picture.subplots(1, 2, sharey=True), runs.items(), strict=True):
        style.dress(axes)
        axes.plot(x, f(x), color=style.FAINT, linewidth=1.6)
        points = np.asarray(found.path.params)
        axes.plot(points, f(points), "o", color=color, markersize=6)
        axes.plot(points[:1], f(points[:1]), "o", color=style.INK, markersize=8)
        axes.vlines(points, -12, -5, color=color, linewidth=1)
        axes.set_ylim(-14, f(x).max())
        axes.set_title(words + f"{found.steps} steps", fontsize=style.NORMAL, loc="left", color=color)
        axes.set_xlabel("x; below, where each step ends", fontsize=style.NORMAL)
    picture.axes[0].set_ylabel("(x − 2)²", fontsize=style.NORMAL)
    return picture


def draw_distances(found: dict[str, gd.Minimum]) -> Figure:
    picture = style.figure(4.0, "Equal steps end at once, the gradient's come ever closer")
    axes = picture.subplots()
    style.dress(axes)
    style.rule(axes)
    looks = (("-", 4.0, style.SKY), ("--", 1.6, style.BLUE), ("-", 1.8, style.VERMILLION))
    for (name, result), (line, width, color) in zip(found.items(), looks, strict=True):
        away = np.maximum(np.abs(np.asarray(result.path.params) - 2), 1e-6)
        axes.plot(result.path.step, away, line, color=color, linewidth=width, label=f"{name}: {result.steps:,} steps")
    axes.set(yscale="log", ylim=(1e-5, 50))
    axes.set_xlabel("step", fontsize=style.NORMAL)
    axes.set_ylabel("distance from the minimum", fontsize=style.NORMAL)
    axes.legend(fontsize=style.SMALL, loc="lower left", edgecolor=style.RULE)
    return picture


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        first_case = lab.numbers.start, lab.numbers.step
        found = {case: searches(*case) for case in dict.fromkeys([first_case, *MORE])}
        lecture = {"try both sides": 1450, "sign of f'": 1450}
        rows = [
            (
                f"{start:g}",
                step,
                name,
                r.steps,
                lecture.get(name, "") if (start, step) == (16.5, 0.01) else "",
                f"{float(r.params):.10g}",
                r.stop.name,
            )
            for (start, step), results in found.items()
            for name, r in results.items()
        ]
        lab.table(("start", "step", "search", "steps", "lecture", "found", "stop"), rows)
        first = found[first_case]
        steps = [r.steps for r in first.values()]
        lab.claim("both fixed-step searches take the lecture's 1450 steps", steps[:2] == [1450, 1450])
        lab.claim("the gradient takes 623 steps", steps[2] == 623)
        told = [r.steps == predict_steps(name, *case) for case, each in found.items() for name, r in each.items()]
        lab.claim("every count is what arithmetic says", all(told))
        fixed = [r for results in found.values() for name, r in results.items() if name != "gradient"]
        lab.claim("fixed steps end within 1e-9 of 2", all(abs(r.params - 2) < 1e-9 for r in fixed))
        ours = f"{steps[0]:,} and {steps[1]:,}, of any function with this minimum alone"
        lab.statement(
            "Lecture S0",
            "1450 steps of 0.01 from 16.5 to 2, by values or by signs",
            ours=ours,
            verdict="right",
            holds=steps[:2] == [1450, 1450],
        )
        counts(lab, *first_case)
        irrational(lab)
        approximation(lab)
        caption = (
            "Points walking down a parabola, by equal steps and by the derivative, with steps large enough to see."
        )
        lab.save(draw(*first_case), "find_the_minimum.png", caption)
        lab.save(draw_distances(first), "find_the_minimum_steps.png", "The distance from the minimum, step by step.")


if __name__ == "__main__":
    main()
