"""Why square the distances: what does a line do that makes their sum, their sizes, or their squares small?

    python -m experiments.why_square [--out lab] [--outlier 8]

Lecture S4 defines the mean squared error and asks what the purpose of squaring could be; it leaves the answer to the class.
Here a line is fitted to 30 points by making small the plain sum of distances, the sum of their sizes |d|, of their squares,
and Huber's loss; then one point is moved up by 8.

Expected: the plain sum has no minimum, it falls for ever, since a line high above all points has a sum of distances that
is as negative as one likes; and its square is 0 for every line through the mean point, however wrong its slope. |d| has a
minimum, but no slope where d = 0, and descent at a constant rate ends up to half a step beside it; squares have one
minimum, a slope everywhere that shrinks toward it, and a formula; for one number that minimum is the mean, of |d| it is the
median. Squares are the most likely errors if these are normal: the negative log likelihood differs by a factor and a
constant. Their price is the outlier: it turns the line of squares over three times as much as the others. About 6 s.
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

from .lab import Lab

KINDS = {
    "plain": lambda d: d,
    "size |d|": jnp.abs,
    "square d²": jnp.square,
    "Huber": lambda d: jnp.where(jnp.abs(d) < 1, d**2 / 2, jnp.abs(d) - 0.5),
}


@dataclasses.dataclass(frozen=True)
class Numbers:
    outlier: float = 8.0
    """By how much one point is moved up."""


def points(outlier: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = np.linspace(-1, 1, 30)
    y = 1 + 2 * x + rng.normal(size=30) / 2
    y[-2] += outlier
    return x, y


def error(line, kind, x, y):
    return jnp.mean(KINDS[kind](y - line[0] - line[1] * x))


def fit(kind: str, x, y) -> np.ndarray:
    """(height, slope) by descent at a falling rate, good to about 1e-3."""
    optimizer = gd.sgd(gd.schedules.cosine(0.5, 4000))
    found = gd.minimize(lambda p: error(p, kind, x, y), jnp.zeros(2), optimizer, stop=never(), max_steps=4000)
    return np.asarray(found.params)


def plain(lab: Lab) -> None:
    """What is wrong with the plain sum, and with the square of the sum."""
    x, y = points()
    heights = [0.0, 1e2, 1e4, 1e6]
    sums = [float(error(jnp.array([height, 0.0]), "plain", x, y)) for height in heights]
    lab.table(("height of the line", "mean distance"), zip(heights, sums, strict=True))
    lab.claim("the mean of plain distances falls for ever", all(np.diff(sums) < 0) and sums[-1] < -9e5)
    through = [float(np.mean(y - y.mean() - slope * (x - x.mean()))) for slope in (-50, 0, 2, 50)]
    lab.claim("it is 0 for every line through the mean point, whatever its slope", max(map(abs, through)) < 1e-13)


def squares(lab: Lab) -> None:
    """What the squares have: one minimum, a shrinking slope, a formula, the mean, normal errors."""
    x, y = points()
    formula = np.linalg.lstsq(np.column_stack([np.ones_like(x), x]), y)[0]
    ends = [
        gd.minimize(
            lambda p: error(p, "square d²", x, y), jnp.array(start), gd.sgd(0.4), stop=gradient_norm(1e-10)
        ).params
        for start in ([-9.0, 9.0], [9.0, 9.0], [0.0, -9.0])
    ]
    lab.claim(
        "squares: from three starts descent ends at the formula's line, to 1e-9", np.max(np.abs(ends - formula)) < 1e-9
    )
    ways = {"square d²": np.mean(y), "size |d|": np.median(y)}
    grid = np.linspace(-3, 4, 70_001)
    best = {kind: grid[np.argmin([float(v) for v in _over(kind, grid, y)])] for kind in ways}
    inside = np.sort(y)[14] - 1e-4 <= best["size |d|"] <= np.sort(y)[15] + 1e-4
    lab.claim(
        "for one number squares want the mean, sizes a median",
        abs(best["square d²"] - ways["square d²"]) < 1e-4 and inside,
    )
    rate = 0.1
    one = {
        kind: gd.minimize(
            lambda b, k=kind: jnp.mean(KINDS[k](b - 0.03)), 1.0, gd.sgd(rate), stop=never(), max_steps=501
        )
        for kind in ways
    }
    left = {kind: abs(float(found.params) - 0.03) for kind, found in one.items()}
    lab.table(("one point, rate 0.1", "ends beside it by"), left.items())
    lab.claim(
        "at a constant rate sizes end up to a step beside it, squares on it",
        0.01 < left["size |d|"] <= rate and left["square d²"] < 1e-12,
    )
    spread = 0.5
    d = np.linspace(-2, 2, 9)
    normal = d**2 / (2 * spread**2) + np.log(spread * np.sqrt(2 * np.pi))
    likely = -np.asarray(jax.scipy.stats.norm.logpdf(d, scale=spread))
    lab.claim(
        "the negative log of normal errors is d² times a factor, plus a constant",
        np.allclose(likely, normal, atol=1e-12),
    )


def _over(kind: str, grid: np.ndarray, y: np.ndarray):
    return jax.jit(jax.vmap(lambda b: jnp.mean(KINDS[kind](y - b))))(jnp.asarray(grid))


def outliers(lab: Lab, outlier: float) -> dict[str, np.ndarray]:
    """How far one point turns the lines."""
    lines = {}
    rows = []
    for kind in ("square d²", "Huber", "size |d|"):
        before, lines[kind] = fit(kind, *points()), fit(kind, *points(outlier))
        rows.append((kind, before[1], lines[kind][1], abs(lines[kind][1] - before[1])))
    lab.table(("error", "slope before", f"one point {outlier:g} higher", "turned by"), rows)
    lab.claim(
        "squares are turned over three times as much as sizes or Huber's", rows[0][3] > 3 * max(rows[1][3], rows[2][3])
    )
    words = "the purpose of squaring the distance is asked, not told"
    ours = "signs cannot cancel, one minimum, a slope that shrinks, normal errors; the price is outliers"
    lab.statement("Lecture S4", words, ours=ours, verdict="not judged")
    return lines


def draw(lines: dict[str, np.ndarray], outlier: float) -> Figure:
    picture = style.figure(4.2, "Squares have a slope that shrinks to 0; their price is the outlier")
    left, right = picture.subplots(1, 2, width_ratios=(1, 1.3))
    d = np.linspace(-3, 3, 301)
    colors = {"plain": style.FAINT, "size |d|": style.GREEN, "square d²": style.VERMILLION, "Huber": style.BLUE}
    for kind, color in colors.items():
        left.plot(d, np.asarray(KINDS[kind](jnp.asarray(d))), color=color, linewidth=2, label=kind)
    left.set(ylim=(-2, 5))
    left.set_xlabel("distance d", fontsize=style.NORMAL)
    left.set_ylabel("error", fontsize=style.NORMAL)
    left.legend(fontsize=style.SMALL, loc="upper center", frameon=False, ncols=1)
    x, y = points(outlier)
    right.plot(x, y, "o", color=style.INK, markersize=4)
    for kind, line in lines.items():
        right.plot(
            x,
            line[0] + line[1] * x,
            linestyle="--" if kind == "Huber" else "-",
            zorder=4 if kind == "Huber" else 3,
            color=colors[kind],
            linewidth=2,
            label=f"least {kind}",
        )
    right.annotate("moved up", (x[-2], y[-2]), (-62, -4), textcoords="offset points", fontsize=style.SMALL)
    right.set_xticks([-1, 0, 1])
    right.set_xlabel("x", fontsize=style.NORMAL)
    right.legend(fontsize=style.SMALL, loc="upper left", frameon=False)
    for axes in (left, right):
        style.dress(axes)
        style.rule(axes)
    return picture


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        plain(lab)
        squares(lab)
        lines = outliers(lab, lab.numbers.outlier)
        caption = "Four errors of a distance, and the lines that make them least where one point is far off."
        lab.save(draw(lines, lab.numbers.outlier), "why_square.png", caption)


if __name__ == "__main__":
    main()
