"""How does the largest rate that converges depend on the start, if a function is steeper far from its minimum?

    python -m experiments.steep_start [--out lab]

The lecture says that a step depends on the norm of the gradient too, so that in a steep region even a small rate causes
trouble, and gives no numbers. On x⁴ a step is x <- x - 4 rate x³ = x (1 - 4 rate x²): it decreases |x| if and only if rate
x² < 1/2, and then all later steps do. In general the limit on |x|^p is 2 / (p |x0|^(p-2)): 1 for x² from any start, 1/(2
x0²) for x⁴, 1/(3 x0⁴) for x⁶. The rule 2/L does not give it: at the minimum of x⁴ the curvature is 0 and 2/L infinite; with
the curvature at the start, L = 12 x0², it is 1/(6 x0²), which is safe but a third of the limit.

Expected: fifteen limits, measured by bisection, within 1e-12 of the theory; 0.1 % below them runs are CONVERGED, 0.1 %
above DIVERGED; at the limit itself x⁴ alternates between x0 and -x0. Rate 0.01 converges from 2 in 306 steps, from 5 in one
step, since 4 rate x0² happens to be 1, and diverges from 10 in 2. About 8 s.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax.plots import style
from gdjax.stopping import gradient_norm, never
from gdjax.types import Stop

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    rate: float = 0.01
    """The rate at which x⁴ is run from five starts."""


STARTS, POWERS = (0.5, 1.0, 2.0, 5.0, 10.0), (2.0, 4.0, 6.0)


def f(x, power):
    return jnp.abs(x) ** power


def theory(start, power):
    return 2 / (power * start ** (power - 2))


def limit(start, power):
    """The rate, found by bisection between 1e-6 and 100, below which 20 steps decrease |x| and above which they do not."""

    def halve(_, ends):
        low, high = ends
        middle = jnp.sqrt(low * high)
        found = gd.minimize(f, start, gd.sgd(middle), stop=never(), max_steps=20, args=(power,))
        down = found.value < f(start, power)
        return jnp.where(down, middle, low), jnp.where(down, high, middle)

    return jax.lax.fori_loop(0, 60, halve, (jnp.asarray(1e-6), jnp.asarray(100.0)))[0]


def run(start, power, rate):
    """To a gradient a thousandth of the first."""
    stop = gradient_norm(1e-3 * power * start ** (power - 1))
    return gd.minimize(f, start, gd.sgd(rate), stop=stop, args=(power,))


def path(share: float, start: float = 2.0, steps: int = 20) -> gd.Minimum:
    rate = share * theory(start, 4.0)
    return gd.minimize(f, start, gd.sgd(rate), stop=never(), max_steps=steps, record=True, args=(4.0,))


def picture(measured, paths):
    figure = style.figure(4.4, "x⁴ and x⁶ need a smaller rate the farther out one starts")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    starts = np.geomspace(0.4, 13, 100)
    for axes in (left, right):
        style.dress(axes)
        style.rule(axes)
    for power, row, color, marker in zip(POWERS, measured, style.PALETTE, "os^", strict=False):
        name = {2: "x²", 4: "x⁴", 6: "x⁶"}[int(power)]
        left.plot(starts, theory(starts, power), color=color, linewidth=1.8)
        left.plot(STARTS, row, marker, color=color, markersize=8, label=f"{name}: measured, on theory")
    left.plot(starts, 1 / (6 * starts**2), color=style.PALETTE[1], linestyle=":", label="x⁴: 2/L with L at the start")
    left.set(xscale="log", yscale="log", ylim=(1e-7, 10))
    left.set_xticks(STARTS, [f"{start:g}" for start in STARTS])
    left.set_xticks([], minor=True)
    left.set_xlabel("start x0", fontsize=style.NORMAL)
    left.set_ylabel("largest rate that converges", fontsize=style.NORMAL)
    left.legend(fontsize=style.SMALL, loc="lower left", framealpha=0.92, edgecolor=style.RULE)
    for (share, found), color, marker in zip(paths.items(), style.PALETTE, "os^", strict=False):
        here = np.abs(found.path.params)
        right.plot(found.path.step, here, color=color, marker=marker, markersize=4, label=f"rate {share:g} × the limit")
    right.set(yscale="log", ylim=(0.1, 30))
    right.set_yticks([0.1, 1, 2, 10], ["0.1", "1", "2", "10"])
    right.set_yticks([], minor=True)
    right.set_xlabel("step on x⁴, from x0 = 2", fontsize=style.NORMAL)
    right.set_ylabel("|x|", fontsize=style.NORMAL)
    right.legend(fontsize=style.SMALL, framealpha=0.92, edgecolor=style.RULE)
    return figure


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        powers, starts = (grid.ravel() for grid in np.meshgrid(POWERS, STARTS, indexing="ij"))
        told = theory(starts, powers)
        measured = np.asarray(jax.jit(jax.vmap(limit))(starts, powers))
        below, above = (jax.jit(jax.vmap(run))(starts, powers, share * told) for share in (0.999, 1.001))
        columns = (starts, measured, told, 2 / (powers * (powers - 1) * starts ** (powers - 2)), above.steps)
        names = [{2: "x²", 4: "x⁴", 6: "x⁶"}[int(power)] for power in powers]
        head = "f", "start", "limit measured", "theory", "2/L, L at the start", "0.1 % above: DIVERGED at"
        lab.table(head, zip(names, *columns, strict=True))
        lab.claim("every limit is the theory's, within 1e-12", np.max(np.abs(measured / told - 1)) < 1e-12)
        lab.claim("0.1 % below it all are CONVERGED", np.all(below.stop == Stop.CONVERGED))
        lab.claim("0.1 % above it all are DIVERGED", np.all(above.stop == Stop.DIVERGED))

        found = {start: run(start, 4.0, lab.numbers.rate) for start in STARTS}
        rows = [(start, one.steps, one.stop.name) for start, one in found.items()]
        lab.table((f"x⁴ at rate {lab.numbers.rate:g} from", "steps", "stop"), rows)
        ends = [row[2] for row in rows]
        lab.claim("rate 0.01 converges from 0.5 to 5 and diverges from 10", ends == ["CONVERGED"] * 4 + ["DIVERGED"])
        paths = {share: path(share) for share in (0.99, 1.0, 1.01)}
        swing = paths[1.0].path.params
        lab.claim(
            "at the limit x goes from 2 to -2 and back for ever", np.array_equal(swing, 2.0 * (-1.0) ** np.arange(21))
        )
        lab.claim("at 0.99 of it, it is within 0.3 of 0 after 20 steps", abs(paths[0.99].params) < 0.3)
        words = "a step depends on the norm of the gradient too: in a steep region even a small rate brings trouble"
        told = ", ".join(f"from {start:g} {one.stop.name}" for start, one in found.items())
        steep = (ends[0], ends[-1]) == ("CONVERGED", "DIVERGED")
        lab.statement("Lecture S1", words, ours=f"x⁴ at {lab.numbers.rate:g}: {told}", verdict="right", holds=steep)
        lab.save(
            picture(measured.reshape(len(POWERS), -1), paths),
            "steep_start.png",
            "Left: the largest rate that converges, by the start. Right: |x| step by step, below, at and above the limit.",
        )


if __name__ == "__main__":
    main()
