"""What does the rate do: 1e-8, 1e-1, a good one, one that is too large? And where does too large begin?

    python -m experiments.step_size [--out lab]

The lectures call 1e-8 too small (slow) and 1e-1 too large (overshooting), and say that too large a step ends in numeric
overflow. But a rate is large only relative to 2/L, where L is the largest curvature: 1e-1 is 5 times this limit for a
quadratic with curvatures 1 and 100, 0.4 of it for a linear regression on synthetic data, and 7,359 times for one on the
diabetes table in its original units, for which no constant rate converges within 10,000 steps. All are quadratics, for
which every step can be computed.

Expected: for seven quadratics the largest rate that converges and the smallest that diverges are within 0.2 % of 2/L; 1 %
above it runs are DIVERGED after 175 to 245 steps. At 1e-1 the diabetes table overflows at step 37, in float32 at step 4.
About 20 s.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

import gdjax as gd
from gdjax import problems
from gdjax.plots import style
from gdjax.stopping import gradient_norm
from gdjax.types import Stop

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    rate: float = 0.1
    """The rate that is tried in place of the lectures' large one."""
    small: float = 1e-8
    """The rate that is tried in place of their small one."""


STEPS, EPS = 10_000, 1e-3


def cases():
    """The three on which the lectures' rates are tried, and the seven whose limit is measured."""
    x, y = load_diabetes(return_X_y=True, scaled=False)
    two = {
        "quadratic, curvatures 1 and 100": problems.quadratic((1.0, 100.0)),
        "regression, made data": problems.least_squares(),
    }
    five = {
        "regression, diabetes scaled": problems.least_squares(scale(x), y),
        "ridge regression": problems.ridge(),
        "x² + y²": problems.bowl(1),
        "booth": problems.booth(),
        "10 curvatures, 1 to 1000": problems.quadratic(tuple(np.geomspace(1, 1000, 10))),
    }
    return {**two, "regression, diabetes as it is": problems.least_squares(x, y)}, two | five


def at_rates(problem, rates):
    """One run for each rate, all in one call."""
    return jax.device_get(_runs(problem.f, problem.start, problem.args, jnp.asarray(rates)))


@functools.partial(jax.jit, static_argnums=0)
def _runs(f, start, args, rates):
    stop = gradient_norm(EPS)
    return jax.vmap(lambda rate: gd.minimize(f, start, gd.sgd(rate), stop=stop, max_steps=STEPS, args=args))(rates)


def values(problem, rates, steps: int, dtype=float):
    """f at step 0, 1, ..., (steps, rates), without a stopping condition."""
    start, args, rates = jax.tree.map(lambda x: jnp.asarray(x, dtype), (problem.start, problem.args, rates))
    return np.asarray(_values(problem.f, start, args, rates, steps))


@functools.partial(jax.jit, static_argnums=(0, 4))
def _values(f, start, args, rates, steps: int):
    def step(params, _):
        value, grads = jax.vmap(lambda p: jax.value_and_grad(f)(p, *args))(params)
        return jax.tree.map(lambda p, g: p - jax.vmap(jnp.multiply)(rates, g), params, grads), value

    starts = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(rates), *x.shape)), start)
    return jax.lax.scan(step, starts, None, length=steps)[1]


def limit(problem) -> tuple[float, float]:
    """The largest rate that converges and the smallest that diverges, by four rounds, each refining by a factor 16."""
    low, high = 1e-3, 10.0
    for _ in range(4):
        rates = np.geomspace(low, high, 17)
        stops = at_rates(problem, rates).stop
        low, high = rates[stops == Stop.CONVERGED].max(initial=low), rates[stops == Stop.DIVERGED].min(initial=high)
    return low, high


@functools.cache
def spectrum(problem):
    """Curvatures along the axes of the bowl, and the slopes along them at the start."""
    flat, unravel = ravel_pytree(problem.start)
    grad = jax.grad(lambda flat: problem(unravel(flat)))
    slope, hessian = jax.jit(lambda flat: (grad(flat), jax.jacfwd(grad)(flat)))(flat)
    curvatures, axes = np.linalg.eigh(hessian)
    return curvatures, axes.T @ slope


def by_arithmetic(problem, rate: float):
    """(log f, log |f'|) at steps 0, 1, ...: along each axis the error shrinks or grows by 1 - rate curvature."""
    curvatures, slopes = spectrum(problem)
    with np.errstate(divide="ignore"):
        squares = np.log(slopes**2) + 2 * np.arange(STEPS + 1)[:, None] * np.log(np.abs(1 - rate * curvatures))
        value = np.logaddexp(np.logaddexp.reduce(squares - np.log(2 * curvatures), axis=1), np.log(problem.value))
    return value, np.logaddexp.reduce(squares, axis=1) / 2


def predict(problem, rate: float) -> tuple[Stop, int]:
    value, slope = by_arithmetic(problem, rate)
    diverged = value > np.log(1000 * max(np.exp(value[0]), 1))
    codes = np.where(diverged, Stop.DIVERGED, np.where(slope <= np.log(EPS), Stop.CONVERGED, Stop.RUNNING))
    step = int(np.argmax(codes != Stop.RUNNING))
    return (Stop(int(codes[step])), step) if codes[step] else (Stop.BUDGET, STEPS)


def overflow(problem, rates, dtype):
    """The first of 2000 steps whose f is no number any more (2000 if none): measured, and by arithmetic.

    A mean of n squares overflows when their sum does, which is n times as large.
    """
    parts = 1 if problem.name == "quadratic" else len(problem.args[1])
    largest = np.log(float(jnp.finfo(dtype).max)) - np.log(parts)
    seen = [~np.isfinite(column) for column in values(problem, np.asarray(rates), 2000, dtype).T]
    told = [by_arithmetic(problem, rate)[0][:2000] > largest for rate in rates]
    return [[int(np.argmax([*over, True])) for over in each] for each in (seen, told)]


def picture(three, tried):
    figure = style.figure(4.6, "The same rate is too small here and too large there: 2/L decides")
    axes = figure.subplots()
    style.dress(axes)
    style.rule(axes)
    rates = np.geomspace(1e-9, 10, 600)
    for (name, problem), color in zip(three.items(), style.PALETTE, strict=False):
        edge, after = 2 / problem.lipschitz, values(problem, rates, 101)[[0, -1]] - problem.value
        share = np.nan_to_num(after[1] / after[0], nan=1e30, posinf=1e30)
        axes.plot(rates, np.clip(share, 1e-30, 1e30), color=color, linewidth=2, label=name)
        axes.axvline(edge, color=color, linewidth=1.2, linestyle="--")
        axes.text(1.2 * edge, 1e10, "2/L", color=color, fontsize=style.NORMAL, va="top")
    said = {1e-8: "lecture: too small, 1e−8", 1e-1: "lecture: too big, 1e−1"}
    for rate in tried:
        axes.axvline(rate, color=style.INK, linewidth=1.4, linestyle=":")
        axes.text(rate, 2e11, said.get(rate, f"tried: {rate:g}"), fontsize=style.SMALL, ha="center")
    axes.set(xscale="log", yscale="log", xlim=(1e-9, 10), ylim=(1e-11, 1e11))
    axes.set_xlabel("rate (parameter per slope)", fontsize=style.NORMAL)
    axes.set_ylabel("f − minimum after 100 steps,\nin parts of that at the start", fontsize=style.NORMAL)
    axes.legend(fontsize=style.SMALL, loc="lower left", framealpha=1, edgecolor=style.RULE)
    return figure


def lectures_rates(lab: Lab[Numbers], three) -> None:
    small, rate = lab.numbers.small, lab.numbers.rate
    words, rows, stopped, overflowed = {1e-8: "too small", 1e-1: "too big"}, [], [], []
    for name, problem in three.items():
        edge, best = 2 / problem.lipschitz, 2 / (problem.lipschitz * (1 + 1 / problem.condition))
        rates = [small, rate, best, 1.1 * edge]
        found = at_rates(problem, rates)
        ends = [(Stop(int(stop)), int(steps)) for stop, steps in zip(found.stop, found.steps, strict=True)]
        stopped += [end == predict(problem, each) for end, each in zip(ends, rates, strict=True)]
        (double, told), (single, told_single) = (overflow(problem, rates, t) for t in (jnp.float64, jnp.float32))
        overflowed += np.abs(np.subtract(double + single, told + told_single)).tolist()
        for each, (stop, steps), *infinite in zip(rates, ends, double, single, strict=True):
            when = [step if step < 2000 else None for step in infinite]
            rows.append((name, each, each / edge, words.get(each), stop.name, steps, *when))
    head = "problem", "rate", "of 2/L", "lecture", "stop", "steps", "f overflows at step", "in float32"
    lab.table(head, rows)
    stops = [row[4] for row in rows]
    lab.claim("1e-8 brings none of the three to its end in 10,000 steps", stops[::4] == ["BUDGET"] * 3)
    lab.claim("1e-1 diverges twice, and converges once", stops[1::4] == ["DIVERGED", "CONVERGED", "DIVERGED"])
    lab.claim("stop and step of all twelve are those of arithmetic", all(stopped))
    lab.claim("f overflows where arithmetic says, to a step", max(overflowed) <= 1)
    ours = f"at {small:g} the three are {', '.join(stops[::4])} after 10,000 steps"
    slow = stops[::4] == ["BUDGET"] * 3
    lab.statement("Lecture S4", "1e-8 is too small: slow convergence", ours=ours, verdict="right", holds=slow)
    shares = ", ".join(f"{row[2]:,.2g}" for row in rows[1::4])
    ours = f"{', '.join(stops[1::4])} at {rate:g}, which is {shares} of 2/L: a rate is large relative to that alone"
    over = {"holds": set(stops[1::4]) == {"DIVERGED"}, "partly": "DIVERGED" in stops[1::4]}
    lab.statement("Lecture S4", "1e-1 is too big: overshooting", ours=ours, verdict="imprecise", **over)
    ours = f"on the diabetes table f overflows at step {rows[9][6]}, in float32 at {rows[9][7]}"
    words, infinite = "a too large step can lead to numeric overflow", None not in rows[9][6:8]
    lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=infinite)
    words = "big values are in the range of 0.1 to 0.01"
    edges = [row[1] / row[2] for row in rows[::4]]
    ours = f"2/L decides, which differs by a factor of {max(edges) / min(edges):,.0f} among the three"
    inside = [0.01 <= edge <= 0.1 for edge in edges]
    lab.statement("Lecture S0", words, ours=ours, verdict="imprecise", holds=all(inside), partly=any(inside))


def limits(lab: Lab, seven) -> None:
    rows, sides = [], []
    for name, problem in seven.items():
        edge, (low, high) = 2 / problem.lipschitz, limit(problem)
        near = at_rates(problem, np.array([0.99, 1.01]) * edge)
        sides.append(list(near.stop) == [Stop.CONVERGED, Stop.DIVERGED])
        rows.append((name, edge, low / edge, high / edge, near.steps[1], predict(problem, 1.01 * edge)[1]))
    head = "problem", "2/L", "converges at, of 2/L", "diverges at", "at 1.01: DIVERGED at step", "by arithmetic"
    lab.table(head, [(*row[:2], f"{row[2]:.5f}", f"{row[3]:.5f}", *row[4:]) for row in rows])
    lab.claim("the limit is 2/L, within 0.2 %", all(0.998 < row[2] <= 1 <= row[3] < 1.002 for row in rows))
    lab.claim("1 % below it every run is CONVERGED, 1 % above DIVERGED", all(sides))
    lab.claim("DIVERGED at the step of arithmetic", all(row[4] == row[5] for row in rows))


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        three, seven = cases()
        lectures_rates(lab, three)
        limits(lab, seven)
        lab.save(
            picture(three, (lab.numbers.small, lab.numbers.rate)),
            "step_size.png",
            "What 100 steps leave of the loss, by the rate, on three problems; each falls until 2/L, and then overflows.",
        )


if __name__ == "__main__":
    main()
