"""What do schedules of the learning rate look like, and what happens if one decreases very fast?

    python -m experiments.schedules [--out lab]

The lectures draw linear, piecewise and exponential decay and cycles. They say that in practice the rate decreases by a
power or by a factor every N steps, which makes descent converge, but perhaps to a poor point; and they ask what happens if
it decreases very fast. Then the steps vanish before the minimum is reached: on a quadratic, an axis of curvature c keeps
prod(1 - rate_t c) of its distance, which is not 0 if the sum of the rates is finite. On 10 x² + y² from (2, 2), with rate
0.04 q^t, runs stop as if they had converged, at distance 1.70 from the minimum for q = 0.5 and 0.034 for q = 0.98, equal to
the product to 1e-9; with a constant rate they reach it.

A decreasing rate is needed because gradients of mini-batches are noisy. On x² / 2 with noise of standard deviation 1, in
2000 runs, a constant rate r keeps the deviation sqrt(r / (2 - r)), 0.229 at 0.1; with rate 1 / t the iterate is a running
mean, whose deviation decreases like 1 / sqrt(t). Expected: these figures, to a tenth. About 12 s.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax.plots._landscape import MARKERS, PATHS
from gdjax.plots.style import BLUE, INK, MUTED, NORMAL, SMALL, dress, figure, rule
from gdjax.stopping import never, parameter_change

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    rate: float = 0.04
    """The first rate of the decays on 10 x² + y², 0.1 or less to converge."""


S = gd.schedules
DRAWN = {
    "linear": S.linear(1, 0.1, 80),
    "polynomial": S.polynomial(1, 0, 2, 100),
    "piecewise_constant": S.piecewise_constant([30, 60], [1, 0.5, 0.1]),
    "step_decay": S.step_decay(1, 0.5, 20),
    "exponential": S.exponential(1, 20, 0.5),
    "inverse_time": S.inverse_time(1, 10, 1),
    "cosine": S.cosine(1, 100),
    "cosine_restarts": S.cosine_restarts(1, 20, growth=1.5, decay=0.7),
    "cyclic, halved": S.cyclic(0.1, 1, 10, "triangular2"),
    "cyclic, ever longer": S.cyclic(0.1, 1, 7, growth=2.0, decay=0.8),
    "one_cycle": S.one_cycle(1, 100),
    "warmup": S.warmup(S.cosine(1, 85), 15),
}
FACTORS, STEPS = (0.5, 0.8, 0.9, 0.95, 0.98, 1.0), 3000
BOWL = gd.problems.bowl(10.0)
RUNS, START, NOISE = 2000, 10.0, 1.0
NOISY = {
    "constant 0.1": S.constant(0.1),
    "1 / t": S.inverse_time(1.0, 1, 1),
    "0.1 · 0.97ᵗ": S.exponential(0.1, 1, 0.97),
}


def descend(first: float, factor: float) -> gd.Minimum:
    rate, stop = S.exponential(first, 1, factor), parameter_change(1e-12)
    return gd.minimize(BOWL.f, BOWL.start, gd.sgd(rate), args=BOWL.args, stop=stop, record=True)


def final_distance(first: float, factor: float) -> float:
    """The distance at which the product of 1 - rate_t curvature ends."""
    rates = first * factor ** np.arange(5000)
    shares = [np.prod(1 - rates * curvature) for curvature in (20, 2)]
    return float(np.linalg.norm(BOWL.start * shares))


def spread(schedule) -> np.ndarray:
    """The root of the mean of x² over the runs, at each step; the runs are the entries of one vector."""
    optimizer, starts = gd.noisy_sgd(schedule, eta=NOISE**2, gamma=0.0, key=0), np.full(RUNS, START)
    found = gd.minimize(lambda x: jnp.sum(x**2) / 2, starts, optimizer, stop=never(), max_steps=STEPS, record=True)
    spreads = np.sqrt(np.mean(found.path.params**2, axis=1))
    return np.pad(spreads, (0, STEPS + 1 - len(spreads)), mode="edge")  # a run whose rate has become 0 ends there


def expected_spread(schedule) -> np.ndarray:
    """The same by E x² <- (1 - rate)² E x² + rate² noise²."""
    squares = [START**2]
    for rate in np.asarray(jax.vmap(schedule)(jnp.arange(STEPS))):
        squares.append((1 - rate) ** 2 * squares[-1] + (rate * NOISE) ** 2)
    return np.sqrt(squares)


def grid_of_schedules():
    picture = figure(5.2, "Twelve schedules over 100 steps, the largest rate 1 in each")
    panels = picture.subplots(3, 4, sharex=True, sharey=True).flat
    for axes, (name, schedule) in zip(panels, DRAWN.items(), strict=True):
        dress(axes)
        rule(axes)
        axes.plot(np.asarray(jax.vmap(schedule)(jnp.arange(101))), color=BLUE, linewidth=1.8, drawstyle="steps-post")
        axes.set_title(name.replace("_", " "), fontsize=SMALL, color=INK, loc="left")
    picture.supxlabel("step", fontsize=NORMAL, color=INK)
    picture.supylabel("learning rate", fontsize=NORMAL, color=INK)
    return picture


def draw(runs: dict, spreads: dict, first: float):
    picture = figure(4.4, "Too fast a decay stops short; no decay hovers over the noise")
    left, right = picture.subplots(1, 2)
    for i, (factor, found) in enumerate(runs.items()):
        look = {"color": PATHS[i], "marker": MARKERS[i], "markevery": (20, 40), "markersize": 6}
        distance = np.linalg.norm(found.path.params[:201], axis=1)
        left.plot(
            distance, linewidth=1.6, label=f"{first:g} · {factor:g}ᵗ" if factor < 1 else f"constant {first:g}", **look
        )
    left.set(yscale="log", ylim=(3e-8, 5), xlim=(0, 200))
    left.set_title("10 x² + y², exact gradients", fontsize=NORMAL, color=INK, loc="left")
    for i, (name, values) in enumerate(spreads.items()):
        right.plot(np.arange(1, STEPS + 1), values[1:], color=PATHS[i], linewidth=1.8, label=name)
    right.plot([1, STEPS], [1, STEPS**-0.5], ":", color=INK, linewidth=1.4, label="1 / √t")
    right.axhline(np.sqrt(0.1 / 1.9), color=MUTED, linestyle="--", linewidth=1.2, label="√(r / (2 − r))")
    right.set(xscale="log", yscale="log")
    right.set_title("x² / 2, gradients with noise 1", fontsize=NORMAL, color=INK, loc="left")
    words = (left, "distance from the minimum"), (right, "root mean square distance")
    for axes, y in words:
        dress(axes)
        rule(axes)
        axes.set_xlabel("step", fontsize=NORMAL, color=INK)
        axes.set_ylabel(y, fontsize=NORMAL, color=INK)
        axes.legend(fontsize=SMALL, labelcolor=INK, framealpha=0.92, loc="lower left")
    return picture


def fast_decay(lab: Lab[Numbers]) -> dict[float, gd.Minimum]:
    first = lab.numbers.rate
    runs = {factor: descend(first, factor) for factor in FACTORS}
    ended = {factor: BOWL.distance(found.params) for factor, found in runs.items()}
    product = {factor: final_distance(first, factor) for factor in FACTORS}
    total = {factor: first / (1 - factor) if factor < 1 else np.inf for factor in FACTORS}
    rows = [
        (f"{q:g}", f"{total[q]:.3g}", r.stop.name, r.steps, r.grad_norm, ended[q], product[q]) for q, r in runs.items()
    ]
    lab.table(("factor", "sum of rates", "stop", "steps", "gradient", "distance", "product says"), rows)
    fast = [factor for factor in FACTORS if factor < 1]
    lab.claim("all of them stop as if converged", all(found.stop.name == "CONVERGED" for found in runs.values()))
    lab.claim("those that decay, more than 0.01 from the minimum", all(ended[q] > 0.01 for q in fast))
    lab.claim("where the product says, to 1e-9", all(abs(ended[q] - product[q]) < 1e-9 for q in FACTORS))
    lab.claim(
        "the slower the decay the nearer, a constant rate to 1e-9",
        np.all(np.diff(list(ended.values())) < 0) and ended[1] < 1e-9,
    )
    words = "what happens if the rate decreases very fast?"
    ours = f"the steps vanish on the way: with 0.5^t it stops {ended[0.5]:.3g} from the minimum, as if converged"
    lab.statement("Lecture S1", words, ours=ours, verdict="not judged")
    words = "a decreasing rate enforces convergence, not necessarily to a good point"
    ours = (
        f"every decay stops, and at {fast[-1]}^t still {ended[fast[-1]]:.2g} away, where the product of 1 - rate c says"
    )
    poor = all(runs[q].stop.name == "CONVERGED" and ended[q] > 0.01 for q in fast)
    lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=poor)
    return runs


def noise(lab: Lab) -> dict[str, np.ndarray]:
    spreads = {name: spread(schedule) for name, schedule in NOISY.items()}
    said = {name: expected_spread(schedule) for name, schedule in NOISY.items()}
    lab.table(
        ("rate", "at 300", "at 3000", "expected"), [(n, v[300], v[3000], said[n][3000]) for n, v in spreads.items()]
    )
    off = max(float(np.max(np.abs(spreads[name] / said[name] - 1))) for name in NOISY)
    constant, falling, fast = spreads.values()
    steps = np.arange(10, STEPS + 1)
    order = float(np.polyfit(np.log(steps), np.log(falling[10:]), 1)[0])
    hover = float(np.sqrt(np.mean(constant[1000:] ** 2)))
    lab.claim(f"every spread is the expected one, within 10 % at all steps ({100 * off:.1f} %)", off < 0.1)
    lab.claim(
        "a constant 0.1 hovers at sqrt(r / (2 - r)) = 0.229, within 1 %", abs(hover / np.sqrt(0.1 / 1.9) - 1) < 0.01
    )
    lab.claim(f"rate 1 / t converges like t^{order:.3f}, -1/2 within 0.02", abs(order + 0.5) < 0.02)
    lab.claim("to a tenth of the constant's in 3000 steps", falling[-1] < 0.1 * hover)
    lab.claim("too fast a decay ends farther than both", fast[-1] > 1.2 * hover)
    words = "begin with a big rate for fast steps, then decrease it"
    ours = f"1 / t ends {hover / falling[-1]:.0f} times nearer than a constant 0.1, 0.1 · 0.97^t farther than it"
    lab.statement("Lecture S0", words, ours=ours, verdict="right", holds=falling[-1] < hover / 2)
    return spreads


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        lab.save(grid_of_schedules(), "schedules.png", "The learning rate of twelve schedules, step by step.")
        lab.save(
            draw(fast_decay(lab), noise(lab), lab.numbers.rate),
            "schedules_decay.png",
            "Left: how far from the minimum runs of ever faster decays end. Right: what noise leaves, by three rates.",
        )


if __name__ == "__main__":
    main()
