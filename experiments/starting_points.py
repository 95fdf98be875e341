"""Which minimum does descent end in, at a constant rate, for each starting point?

    python -m experiments.starting_points [--out lab]

The lecture's exercise tries this on one function of one variable, for starts in [-4, 4] and one rate; it gives neither the
function nor an answer. Here three functions are minimized from 801 starts each, and Himmelblau's function with its four
minima from 200 x 200. At a small rate a run ends in the valley where it starts; the border is the maximum between two
minima, or the line that gradient flow does not cross (integrated independently, as a check). At a larger rate, with which
every minimum is still stable, a first step from a steep slope can pass the hill, and on the plane neighboring starts end
differently. A start exactly at a maximum stays there.

Expected: at the larger rate 148, 73 and 0 of 801 starts end in another valley, exactly those whose first step passes a
hill; on the plane 27 % of 40,000 do. At the small rates none does, and 0.02 % differ from the flow's borders. About 12 s.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.colors import ListedColormap

import gdjax as gd
from gdjax import problems
from gdjax.plots import style
from gdjax.solve import gradient_flow
from gdjax.stopping import gradient_norm
from gdjax.types import Stop

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    rate: float = 0.014
    """The larger of the two rates on Himmelblau's function."""


LINE, SIDE = np.linspace(-4, 4, 801), np.linspace(-6, 6, 200)
FORMULAS = {"double_well": "(x² − 4)² / 16", "tilted_well": "x⁴/4 − x³/3 − 2x²", "waves": "x²/20 − cos 2x"}
WELLS = {problems.double_well: (0.02, 0.6), problems.tilted_well: (0.02, 0.1), problems.waves: (0.02, 0.47)}
SMALL = 0.002


@functools.partial(jax.jit, static_argnums=0)
def ends(f, starts, rate):
    return jax.vmap(lambda start: gd.minimize(f, start, gd.sgd(rate), stop=gradient_norm(1e-6)))(starts)


def hills(f) -> np.ndarray:
    """The maxima between -4 and 4, computed without a derivative."""
    x = np.linspace(-4, 4, 800_001)
    y = np.asarray(f(x))
    return x[1:-1][(y[1:-1] >= y[:-2]) & (y[1:-1] > y[2:])]


def on_line(problem, rate: float) -> dict[str, np.ndarray]:
    """For each start the valley it lies in, that of its first step, and that of its end; -1 on a top."""
    tops = hills(problem.f)
    found = ends(problem.f, LINE, rate)
    first = LINE - rate * np.asarray(jax.vmap(jax.grad(problem.f))(LINE))

    def valley(x):
        on_top = np.min(np.abs(x[:, None] - tops), axis=1) < 1e-3
        return np.where(on_top, -1, np.searchsorted(tops, x))

    places = {"start": LINE, "first": first, "end": np.asarray(found.params)}
    return {name: valley(x) for name, x in places.items()} | {"stop": np.asarray(found.stop)}


def on_plane(problem, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """For each of 200 x 200 starts the nearest minimum to its end, and how near it is."""
    return nearest(problem, ends(problem.f, plane_starts(), rate).params)


def plane_starts() -> np.ndarray:
    return np.stack(np.meshgrid(SIDE, SIDE), axis=-1).reshape(-1, 2)


def nearest(problem, points) -> tuple[np.ndarray, np.ndarray]:
    distances = np.linalg.norm(np.asarray(points)[:, None] - np.array(problem.minima), axis=-1)
    return np.argmin(distances, axis=1), np.min(distances, axis=1)


def picture(lines, planes, problem):
    figure = style.figure(7.0, "A small rate stays in its valley, a larger one leaps over hills")
    rows = figure.subfigures(2, 1, height_ratios=(1, 1.55))
    for axes, ((name, f), found) in zip(rows[0].subplots(1, 3), lines.items(), strict=True):
        y = np.asarray(f(LINE))
        low, height = y.min(), np.ptp(y)
        style.dress(axes)
        axes.plot(LINE, y, color=style.INK, linewidth=1.6)
        for i, (rate, told) in enumerate(found.items()):
            top = low - (0.24 + 0.36 * i) * height
            colors = ListedColormap([style.FAINT, *style.PALETTE[:3]])
            box = (-4, 4, top - 0.16 * height, top)
            axes.imshow(
                told["end"][None], cmap=colors, vmin=-1, vmax=2, extent=box, aspect="auto", interpolation="none"
            )
            axes.text(-4, top, f"rate {rate:g}", fontsize=style.SMALL, color=style.INK, va="bottom")
        axes.set(xlim=(-4, 4), ylim=(low - 0.8 * height, low + 1.02 * height), yticks=[])
        axes.set_title(FORMULAS[name], fontsize=style.NORMAL, loc="left")
        axes.set_xlabel("start, colored by its end", fontsize=style.NORMAL)
    for axes, (rate, which) in zip(rows[1].subplots(1, 2, sharey=True), planes.items(), strict=True):
        style.dress(axes)
        colors = ListedColormap(style.PALETTE[:4])
        axes.imshow(which.reshape(200, 200), cmap=colors, extent=(-6, 6, -6, 6), origin="lower", interpolation="none")
        axes.plot(*np.array(problem.minima).T, "X", color=style.PAPER, markeredgecolor=style.INK, markersize=11)
        axes.set_title(f"Himmelblau's at rate {rate:g}", fontsize=style.NORMAL, loc="left")
        axes.set_xlabel("x of the start, colored by its end ✕", fontsize=style.NORMAL)
    rows[1].axes[0].set_ylabel("y of the start", fontsize=style.NORMAL)
    return figure


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        lines, rows = {}, []
        for factory, rates in WELLS.items():
            problem = factory()
            found = {rate: on_line(problem, rate) for rate in rates}
            lines[problem.name, problem.f] = found
            for rate, told in found.items():
                shares = [f"{np.mean(told['end'] == i):.1%}" if i in told["end"] else "" for i in range(3)]
                moved, led = told["end"] != told["start"], told["first"] != told["start"]
                rows.append(
                    (FORMULAS[problem.name], rate, *shares, moved.sum(), led.sum(), np.array_equal(moved, led), told)
                )
        head = "f, from [-4, 4]", "rate", "1st minimum", "2nd", "3rd", "ends elsewhere", "first step over a hill"
        lab.table(head, [row[:-2] for row in rows])
        lab.claim("all 4806 runs are CONVERGED", all(np.all(row[-1]["stop"] == Stop.CONVERGED) for row in rows))
        lab.claim("at the small rate every start ends in its own valley", [row[5] for row in rows[::2]] == [0, 0, 0])
        lab.claim("at the larger one 148, 73 and 0 do not", [row[5] for row in rows[1::2]] == [148, 73, 0])
        lab.claim("they are just those whose first step led over a hill", all(row[-2] for row in rows))
        lab.claim("the start on the top of the double well stays there", rows[0][-1]["end"][400] == -1)

        problem, larger = problems.himmelblau(), lab.numbers.rate
        planes = {rate: on_plane(problem, rate) for rate in (SMALL, larger)}
        flow = jax.jit(jax.vmap(lambda start: gradient_flow(problem, start, jnp.array([0.0, 1.0]))[-1]))
        flowed = nearest(problem, flow(plane_starts()[::7]))
        shares = {f"descent at {rate:g}": np.bincount(which, minlength=4) for rate, (which, _) in planes.items()}
        shares["gradient flow, every 7th"] = np.bincount(flowed[0], minlength=4)
        head = "Himmelblau's: starts that end at", *(f"({x:.2f}, {y:.2f})" for x, y in problem.minima)
        lab.table(head, [(name, *counts) for name, counts in shares.items()])
        lab.claim("all 80,000 runs end within 1e-5 of a minimum", max(far.max() for _, far in planes.values()) < 1e-5)
        same = np.mean(planes[SMALL][0][::7] == flowed[0])
        lab.claim(f"at {SMALL} they end where gradient flow does ({same:.2%}, at least 99.9 %)", same > 0.999)
        changed = np.mean(planes[SMALL][0] != planes[larger][0])
        lab.claim(f"at {larger:g} {changed:.1%} of the starts end elsewhere (26 to 28 %)", 0.26 < changed < 0.28)
        planes = {rate: which for rate, (which, _) in planes.items()}
        words = "the start decides in which minimum descent ends, at a constant rate (an exercise, starts in [-4, 4])"
        leaps, large = (", ".join(str(row[5]) for row in rows[i::2]) for i in (0, 1))
        ours = f"of {len(LINE)} starts {leaps} leave their valley at a small rate; at a larger one {large}"
        lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=not any(row[5] for row in rows[::2]))
        words = "descent always goes down, so that it ends in a local minimum or a saddle point"
        over = sum(row[6] for row in rows)
        ours = f"it ends in one, but from {over} starts the first step passes a hill, though every "
        stopped = all(np.all(row[-1]["stop"] == Stop.CONVERGED) for row in rows)
        judged = {"holds": stopped and not any(row[6] for row in rows), "partly": stopped}
        lab.statement("Lecture S1", words, ours=f"{ours}minimum is stable at that rate", verdict="imprecise", **judged)
        lab.save(
            picture(lines, planes, problem),
            "starting_points.png",
            "Each start has the color of the minimum where it ends: at a small rate its own valley's, at a larger not.",
        )


if __name__ == "__main__":
    main()
