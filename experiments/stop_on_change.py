"""When should descent stop: when the value changes little, or when the gradient is small?

    python -m experiments.stop_on_change [--out lab] [--delta 1e-6]

Lecture S1 runs batch descent until the value changes very little from one step to the next, stochastic descent until the
mean change over the current batch is small; lecture S0 stops at a small gradient. S1 adds that a small change means a small
gradient, hence a local optimum or a saddle. It gives no numbers; here δ = 1e-6, for disease progression by age, sex, BMI and
blood pressure (diabetes, 440 rows), a convex problem with a known minimum.

Descent at rate r changes the value by about r |∇f|²: the same δ is another gradient at another rate. Expected: at the best
rate, 1 / L, the rule stops 3e-7 above the minimum; at a ten-thousandth of it 0.009, over 20,000 times as high, while the
gradient's rule at 0.001 stops 3e-7 above it at every rate. On a plateau change stops at once, far from the hole; so
does the gradient's norm. For stochastic descent of 20 rows at a constant rate the change over the batch never gets small,
since its gradient does not; at a falling rate it does, because the rate falls. About 10 s.
"""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import gdjax as gd
from gdjax.plots import style
from gdjax.schedules import inverse_time
from gdjax.stopping import change, gradient_norm

from .lab import Lab
from .linear_regression import diabetes, square_error

SHARES, MOST, EPOCHS = (1.0, 0.1, 0.01, 0.001, 0.0001), 200_000, 300


@dataclasses.dataclass(frozen=True)
class Numbers:
    delta: float = 1e-6
    """The change of the value at which descent stops."""


def batch(lab: Lab, delta: float) -> list[tuple]:
    """Batch descent at ever smaller rates, stopped by the change and by the gradient."""
    problem = gd.problems.least_squares(*diabetes())
    rows = []
    for share in SHARES:
        optimizer = gd.sgd(share / problem.lipschitz)
        run = lambda stop, optimizer=optimizer: gd.minimize(  # noqa: E731
            problem.f, problem.start, optimizer, args=problem.args, stop=stop, max_steps=MOST
        )
        by_change, by_slope = run(change(delta)), run(gradient_norm(1e-3))
        excess = [float(found.value) - problem.value for found in (by_change, by_slope)]
        rows.append((share, by_change.steps, excess[0], by_slope.steps, excess[1]))
    head = ("rate, of 1 / L", "steps by change", "value − minimum", "by gradient", "value − minimum")
    lab.table(head, rows)
    lab.claim("at the rate 1 / L the change stops within 1e-5 of the minimum", rows[0][2] < 1e-5)
    lab.claim("the smaller the rate, the farther from it", all(a[2] < b[2] for a, b in itertools.pairwise(rows)))
    lab.claim("at a ten-thousandth it stops over a thousand times as far away", rows[-1][2] > 1000 * rows[0][2])
    near = max(row[4] for row in rows) / min(row[4] for row in rows)
    lab.claim("the gradient's rule stops equally near, within a factor of 3, at every rate", near < 3)
    words = "descent has converged once the value changes very little"
    ours = f"{rows[0][2]:.0e} above the minimum at rate 1 / L, {rows[-1][2]:.1g} at a ten-thousandth of it"
    near = [row[2] < 1e-5 for row in rows]
    lab.statement("Lecture S1", words, ours=ours, verdict="imprecise", holds=all(near), partly=near[0])
    return rows


def plateau(lab: Lab, delta: float) -> None:
    hole, start = gd.problems.plateau(), jnp.array([4.0, 0.0])
    found = gd.minimize(hole.f, start, gd.sgd(0.1), stop=change(delta))
    slope = float(jnp.linalg.norm(jax.grad(hole.f)(start)))
    lab.claim(
        f"on a plateau change stops after {found.steps} step, at a value of {found.value:.4f} above 0", found.steps == 1
    )
    lab.claim(f"where the gradient is {slope:.0e}, so that its norm stops there, too", slope < 1e-5)
    words = "a small change means a small gradient, hence a local optimum or a saddle"
    ours = f"or a plateau, {found.value:.2g} above its hole, or a small rate"
    judged = {"holds": found.value < 0.01, "partly": slope < 1e-5}
    lab.statement("Lecture S1", words, ours=ours, verdict="imprecise", **judged)


def stochastic(lab: Lab, delta: float) -> dict[str, gd.Result]:
    """Stochastic descent of 20 rows, stopped by the mean change over the current batch."""
    x, y = diabetes()
    start = {"w": jnp.zeros(x.shape[1]), "b": jnp.zeros(())}
    optimizers = {"rate 0.02": gd.sgd(0.02), "falling rate": gd.sgd(inverse_time(0.1, 20, 1.0))}
    runs = {
        name: gd.fit(
            gd.per_example(square_error),
            start,
            optimizer,
            (x, y),
            batch_size=20,
            epochs=EPOCHS,
            stop=change(1000 * delta, over="batch"),
        )
        for name, optimizer in optimizers.items()
    }
    rows = [(name, run.stop.name, len(next(iter(run.history.values())))) for name, run in runs.items()]
    lab.table((f"20 rows a step, change {1000 * delta:g} over the batch", "stop", "epochs"), rows)
    lab.claim("at the constant rate the change over the batch never gets that small", rows[0][1] == "BUDGET")
    lab.claim("at the falling rate it does", rows[1][1] == "CONVERGED")
    words = "stochastic descent stops once the mean change over its batch is small"
    lab.statement(
        "Lecture S1",
        words,
        ours=f"at a constant rate it is not in {rows[0][2]} epochs; at a falling one it is after {rows[1][2]}",
        verdict="imprecise",
        holds=all(row[1] == "CONVERGED" for row in rows),
        partly=rows[1][1] == "CONVERGED",
    )
    return runs


def draw(rows: list[tuple], delta: float) -> Figure:
    picture = style.figure(4.2, "A small change is a small rate as often as a minimum")
    axes = picture.subplots()
    style.dress(axes)
    style.rule(axes)
    shares, _, by_change, _, by_slope = (np.array(column) for column in zip(*rows, strict=True))
    axes.plot(shares, by_change, "o-", color=style.VERMILLION, markersize=8, label=f"stopped by a change of {delta:g}")
    axes.plot(shares, by_slope, "s-", color=style.BLUE, markersize=8, label="stopped by a gradient of 0.001")
    axes.set(xscale="log", yscale="log")
    axes.invert_xaxis()
    axes.set_xlabel("rate, of the best", fontsize=style.NORMAL)
    axes.set_ylabel("value − minimum at the stop", fontsize=style.NORMAL)
    style.legend(axes)
    return picture


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        delta = lab.numbers.delta
        rows = batch(lab, delta)
        plateau(lab, delta)
        stochastic(lab, delta)
        caption = "How far above the minimum each rule stops, by the learning rate."
        lab.save(draw(rows, delta), "stop_on_change.png", caption)


if __name__ == "__main__":
    main()
