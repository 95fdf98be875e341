"""What escapes a poor minimum or a saddle: noise, momentum, a cyclic rate? And does it stay in the best minimum?

    python -m experiments.minima_and_saddles [--out lab]

The lectures say that descent cannot pass local minima and saddle points, that noise helps to escape bad minima, and that a
cyclic rate explores a new minimum in each cycle; they give no numbers. Here 300 runs of 2000 steps start in the valley of
the poorer minimum of two functions, 300 in that of the best, and 300 at (1.5, 0), uphill from the saddle of x² - y² + y⁴/4,
where the slope along y is exactly 0; 300 more start at (1.5, 1e-6), where y grows by a factor 1 + 2 rate per step.

Expected: plain descent escapes nothing. Little noise escapes only the saddle. With much noise 55 % of the runs end in the
best of the waves from either valley, independently of the start, and 61 % in that of the tilted well; 3 % are lost.
Momentum passes one of two hills (27 %) and no saddle. A cyclic rate has no effect below 2 / curvature; above, 80 % end in
the best of the waves, but in the tilted well 89 % leave the best minimum, which is sharp, for the flat one or for infinity.
About 20 s.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax import problems
from gdjax.plots import style
from gdjax.schedules import cyclic
from gdjax.stopping import never, target
from gdjax.types import Stop

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    runs: int = 300
    """Runs from each valley."""
    steps: int = 2000
    """Steps of each run."""


TINY = 1e-6
CAPTION = "Which methods leave the poor minimum of two functions or a saddle, and which lose the best minimum as well."
VALLEYS = {  # name: f, rate, starts in the poor valley, in the best, the best from top to top
    "waves": (problems.waves().f, 0.1, (1.75, 4.7), (-1.5, 1.5), (-1.6113, 1.6113)),
    "tilted well": (problems.tilted_well().f, 0.02, (-4.0, -0.1), (0.1, 4.0), (0.0, np.inf)),
}
FORMULAS = {"waves": "x²/20 − cos 2x", "tilted well": "x⁴/4 − x³/3 − 2x²", "saddle": "x² − y² + y⁴/4"}
METHODS = {  # name: (rate, key) -> optimizer
    "plain descent": lambda rate, key: gd.sgd(rate),
    "little noise": lambda rate, key: gd.noisy_sgd(rate, 0.01, key=key),
    "much noise": lambda rate, key: gd.noisy_sgd(rate, 8 / rate, 0.3, key=key),
    "momentum 0.9": lambda rate, key: gd.momentum(rate, 0.9),
    "cyclic, to 4 rate": lambda rate, key: gd.sgd(cyclic(rate / 10, 4 * rate, 50)),
    "cyclic, to 20 rate": lambda rate, key: gd.sgd(cyclic(rate / 10, 20 * rate, 50)),
}


def saddle(p):
    return p[0] ** 2 - p[1] ** 2 + p[1] ** 4 / 4


def runs(f, method, rate, starts, stop, record=None, *, max_steps):
    """A run for each start, each with its own key."""

    def run(start, key):
        return gd.minimize(f, start, method(rate, key), stop=stop, max_steps=max_steps, record=record)

    keys = jax.random.split(jax.random.key(0), len(starts))
    return jax.device_get(jax.jit(jax.vmap(run))(jnp.asarray(starts), keys))


def shares_in_best(name: str, method, numbers: Numbers) -> np.ndarray:
    """The shares of runs that end in the best valley, from the poor one and from the best."""
    f, rate, poor, good, (low, high) = VALLEYS[name]
    rng = np.random.default_rng(0)
    starts = np.concatenate([rng.uniform(*poor, numbers.runs), rng.uniform(*good, numbers.runs)])
    found = runs(f, method, rate, starts, never(), max_steps=numbers.steps)
    ended = found.last.params  # not the best point: the question is where a run stays
    in_best = (ended > low) & (ended < high) & np.isin(found.stop, (Stop.BUDGET, Stop.STALLED))
    return in_best.reshape(2, numbers.runs).mean(axis=1)


def leave_saddle(method, numbers: Numbers) -> tuple[float, float]:
    """The share of runs that leave y = 0, and the median number of steps from 1e-6 to f = -1/2, halfway down."""
    starts = np.repeat([[1.5, 0.0], [1.5, TINY]], numbers.runs, axis=0)
    found = runs(saddle, method, 0.1, starts, target(-0.5), max_steps=numbers.steps)
    return float(np.mean(found.stop[: numbers.runs] == Stop.TARGET)), float(np.median(found.steps[numbers.runs :]))


def growth(rate: float, momentum: float) -> float:
    """The growth of y per step near the saddle: the larger root of z² - (1 + momentum + 2 rate) z + momentum."""
    return max(np.roots([1, -(1 + momentum + 2 * rate), momentum]).real)


def measure(method, numbers: Numbers) -> dict[str, float]:
    told = dict(zip(("saddle", "steps"), leave_saddle(method, numbers), strict=True))
    for name in VALLEYS:
        told[name], kept = shares_in_best(name, method, numbers)
        told[f"{name} lost"] = 1 - kept
    return told


def picture(told):
    figure = style.figure(6.4, "Much noise reaches the best minimum and the cyclic rate too, but they may also lose it")
    above, below = figure.subplots(2, 3, height_ratios=(1, 1.3))
    for axes, name in zip(above, VALLEYS, strict=False):
        x = np.linspace(*((-6, 6) if name == "waves" else (-3.2, 4.2)), 400)
        y = np.asarray(jax.vmap(VALLEYS[name][0])(x))
        axes.plot(x, y, color=style.INK, linewidth=1.6)
        for (low, high), color, said in zip(
            VALLEYS[name][2:4], (style.VERMILLION, style.BLUE), ("poor", "best"), strict=True
        ):
            inside = (x >= low) & (x <= high)
            lowest = np.argmin(np.where(inside, y, np.inf))
            axes.plot(x[lowest], y[lowest], "o", color=color, markersize=8)
            axes.annotate(said, (x[lowest], y[lowest]), (0, -18), textcoords="offset points", ha="center", color=color)
        axes.set_title(FORMULAS[name], fontsize=style.NORMAL, loc="left")
        axes.set(yticks=[], ylim=(y.min() - 0.3 * np.ptp(y), None), xlabel="x")
    x, y = np.linspace(-2, 2, 100), np.linspace(-2.4, 2.4, 100)
    above[2].contour(x, y, saddle(np.stack(np.meshgrid(x, y))), 14, colors=style.MUTED, linewidths=0.8)
    above[2].plot([1.5, 0], [0, 0], "-", color=style.VERMILLION, linewidth=2)
    above[2].plot(0, 0, "x", color=style.VERMILLION, markersize=9, markeredgewidth=2.5)
    above[2].set_title(FORMULAS["saddle"], fontsize=style.NORMAL, loc="left")
    above[2].set(xlabel="x", ylabel="y")
    for axes, keys in zip(
        below, (("waves", "waves lost"), ("tilted well", "tilted well lost"), ("saddle",)), strict=True
    ):
        for i, (key, color) in enumerate(zip(keys, (style.BLUE, style.VERMILLION), strict=False)):
            shares = [100 * row[key] for row in told.values()]
            places = np.arange(len(told)) + 0.36 * i - 0.18 * (len(keys) - 1)
            label = "loses the best" if i else "leaves the saddle" if key == "saddle" else "poor → best"
            axes.barh(places, shares, color=color, height=0.34, label=label)
            for place, share in zip(places, shares, strict=True):
                axes.text(share + 3, place, f"{share:.0f}", va="center", fontsize=style.SMALL)
        axes.set(xlim=(0, 122), xticks=[0, 50, 100], yticks=range(len(told)), xlabel="% of the runs")
        axes.set_yticklabels(list(told) if axes is below[0] else [])
        axes.invert_yaxis()
        axes.legend(fontsize=style.SMALL, loc="upper center", bbox_to_anchor=(0.5, -0.22), frameon=False)
    for axes in (*above, *below):
        style.dress(axes)
    return figure


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        told = {name: measure(method, lab.numbers) for name, method in METHODS.items()}
        fields = "waves", "waves lost", "tilted well", "tilted well lost", "saddle"
        head = (
            "",
            "waves: to the best",
            "best lost",
            "tilted well: to the best",
            "best lost",
            "saddle left",
            "steps from 1e-6",
        )
        lab.table(head, [(n, *(f"{row[k]:.1%}" for k in fields), row["steps"]) for n, row in told.items()])
        plain, little, much, rolling, low, high = told.values()
        lab.claim("plain descent leaves nothing", all(plain[field] == 0 for field in fields))
        lab.claim("little noise leaves no minimum", all(little[field] == 0 for field in fields[:4]))
        lab.claim("noise, little or much, always leaves the saddle", little["saddle"] == much["saddle"] == 1)
        lab.claim(
            "neither momentum nor a cyclic rate leaves it from y = 0",
            all(row["saddle"] == 0 for row in (plain, rolling, low, high)),
        )
        same = abs(much["waves"] - (1 - much["waves lost"])) < 0.1
        lab.claim(
            "much noise: the best of the waves in 45 to 70 %, from either valley", same and 0.45 < much["waves"] < 0.7
        )
        lab.claim("and to the best of the tilted well in over 50 %, losing under 10 %", _gains(much, 0.5, 0.1))
        lab.claim(
            "momentum: none on the waves, over 20 % in the tilted well",
            rolling["waves"] == 0 and _gains(rolling, 0.2, 0.1),
        )
        lab.claim("cyclic below 2 / curvature: none", all(low[field] == 0 for field in fields))
        lab.claim("cyclic above: over 70 % on the waves", high["waves"] > 0.7)
        lab.claim(
            "but none in the tilted well, and over half of the best lost",
            high["tilted well"] == 0 and high["tilted well lost"] > 0.5,
        )
        for name, row, momentum in (("plain descent", plain, 0.0), ("momentum", rolling, 0.9)):
            steps = np.log(np.sqrt(2 - np.sqrt(2)) / TINY) / np.log(growth(0.1, momentum))
            lab.claim(
                f"from 1e-6 {name} leaves after {row['steps']:.0f} steps, by arithmetic {steps:.1f}",
                abs(row["steps"] - steps) < 3,
            )
        escapes(lab, told)
        lab.save(picture(told), "minima_and_saddles.png", CAPTION)


def escapes(lab: Lab, told: dict[str, dict[str, float]]) -> None:
    """What the lectures say of the methods."""
    plain, little, much, _, low, high = told.values()
    fields = "waves", "waves lost", "tilted well", "tilted well lost", "saddle"
    most, poor = max(plain[field] for field in fields), ("waves", "tilted well")
    words = "descent cannot pass local minima and saddle points"
    ours = f"plain descent leaves {most:.0%} of them; noise leaves the saddle in {little['saddle']:.0%}"
    lab.statement("Lecture S0", words, ours=ours, verdict="right", holds=most == 0)
    words = "a bigger rate helps to avoid local minima and saddle points"
    ours = (
        f"not below 2 / curvature; above it a cyclic rate loses the best of the tilted well in "
        f"{high['tilted well lost']:.0%}, and leaves the saddle in {high['saddle']:.0%}"
    )
    helped = {"holds": min(high["waves"], high["saddle"]) > 0.5, "partly": high["waves"] > 0.5}
    lab.statement("Lecture S0", words, ours=ours, verdict="imprecise", **helped)
    words = "a cyclic rate gives the opportunity to explore a new minimum at each cycle"
    ours = f"above 2 / curvature alone: {high['waves']:.0%} to the best of the waves, {high['tilted well']:.0%} in the other"
    helped = {"holds": min(one[well] for one in (low, high) for well in poor) > 0, "partly": high["waves"] > 0.5}
    lab.statement("Lecture S0", words, ours=ours, verdict="imprecise", **helped)
    words = "noise added to the gradient may help to jump out of bad local optima"
    jumps = [" and ".join(f"{one[well]:.0%}" for well in poor) for one in (much, little)]
    ours = f"much noise does, {jumps[0]}; little noise {jumps[1]}"
    lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=min(much[well] for well in poor) > 0.4)


def _gains(row, least: float, price: float) -> bool:
    return row["tilted well"] > least and row["tilted well lost"] < price


if __name__ == "__main__":
    main()
