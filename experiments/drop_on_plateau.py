"""Drop the rate on a plateau: what does the rule wait for, and what does it gain over fixed rates and steps told in advance?

    python -m experiments.drop_on_plateau [--out lab] [--full] [--seeds 16]

Lecture S3: the rate should decay, since smaller steps come closer to the minimum, but not too early, else one gets
stuck; this is something of an art. A common heuristic drops the rate by a factor of 10 if the loss has not improved,
within a tolerance, for k epochs. No numbers are given. Here a linear regression on diabetes, whose least loss is
known, is trained with batches of 16 for 200 epochs; what counts is the loss above the least one, the mean of 16 seeds
(`--full`: 100). The curvatures span a factor of 470, so that a rate which is small too early gets stuck on the way. An
improvement is a loss that is lower by a ten-thousandth.

Expected, from rate 0.1: it stays 0.05 above the least loss if it is fixed, 0.001 at a fixed tenth. Two drops told in
advance come down to 6e-6 if the first is after 70 epochs, but only to 3e-3 after one. The rule waits until noise hides
the progress: 2 epochs with k = 1, 18 with 10, 32 with 20; from rate 0.02, whose progress goes on for longer, 3, 40 and
86. It ends where drops told at the same epoch end, within a factor of 4. So k = 20 gains a factor of 4 to 9 over the
best fixed rate, k = 1 is worse than that; and who knows the right epoch, does better than any k at rates 0.1 and 0.05,
by up to 5. About 9 s.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax import models
from gdjax.plots._landscape import PATHS
from gdjax.plots.style import INK, MUTED, NORMAL, SMALL, dress, figure, rule
from gdjax.schedules import piecewise_constant
from gdjax.stopping import never

from .lab import Lab

BATCH, EPOCHS = 16, 200
RATES = 0.1, 0.05, 0.02
TIMES = 1, 2, 3, 5, 10, 20, 30, 40, 50, 70, 90  # of the first drop, in epochs; the second is at twice as many
WAITS = 1, 2, 3, 5, 10, 20, 30  # k


@dataclasses.dataclass(frozen=True)
class Numbers:
    seeds: int = 16
    """Runs of each kind."""


class Told(NamedTuple):
    """What came of some methods: (methods, seeds, epochs) each."""

    excess: np.ndarray  # loss above the least one
    rate: np.ndarray

    @property
    def ended(self) -> np.ndarray:
        """The mean excess of the last ten epochs, over the seeds."""
        return self.excess[..., -10:].mean(axis=(1, 2))

    @property
    def first_drop(self) -> np.ndarray:
        """The epochs until the rate is lower than at first, median of the seeds; EPOCHS if it never is."""
        lower = self.rate < 0.5 * self.rate[..., :1]
        return np.median(np.where(lower.any(axis=-1), lower.argmax(axis=-1), EPOCHS), axis=1)


def rows():
    data = gd.data.load("diabetes")
    return tuple(jnp.asarray(gd.data.standardize(gd.data.fit_scaling(part), part)) for part in (data.x, data.y))


def least_loss(x, y) -> float:
    with_bias = np.column_stack([x, np.ones(len(x))])
    return float(np.mean((with_bias @ np.linalg.lstsq(with_bias, np.asarray(y))[0] - y) ** 2))


def runner(seeds: int):
    """methods -> what came of each, from the same initial values and over the same batches."""
    data, model = rows(), models.linear_regression(10)

    def loss(params, batch):
        return jnp.mean((model.apply(params, batch[0]) - batch[1]) ** 2)

    run = gd.make_run(gd.make_epoch(gd.make_step(loss), BATCH), gd.make_evaluate(loss), keep_best=False)

    def one(optimizer, key):
        start = gd.make_state(model.init(key), optimizer, key)
        begun = gd.start_run(run, start, never(), data, data, capacity=EPOCHS)
        history = run(begun, data, data, EPOCHS).history
        return Told(history["validation_loss"], history["learning_rate"])

    program = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))
    least, keys = least_loss(*data), jax.random.split(jax.random.key(0), seeds)

    def all_of(methods) -> Told:
        stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *methods)
        told = jax.device_get(program(stacked, keys))
        return told._replace(excess=told.excess - least)

    return all_of


def at(rate: float, epoch: int):
    """Two drops by 10, the first after so many epochs."""
    batches = -(-442 // BATCH) * epoch
    return gd.sgd(piecewise_constant([batches, 2 * batches], [rate, rate / 10, rate / 100]))


def measure(seeds: int) -> dict[tuple[str, float], Told]:
    all_of, told = runner(seeds), {}
    for rate in RATES:
        told["fixed", rate] = all_of([gd.sgd(part) for part in (rate, rate / 10, rate / 100)])
        told["steps", rate] = all_of([at(rate, epoch) for epoch in TIMES])
        told["plateau", rate] = all_of([gd.reduce_on_plateau(gd.sgd(rate), 0.1, wait, rtol=1e-4) for wait in WAITS])
    return told


def against_told(plateau: Told, steps: Told) -> np.ndarray:
    """The excess of the rule over that of drops told in advance, the first in the same epoch; NaN where none was tried."""
    known = np.interp(np.log(plateau.first_drop), np.log(TIMES), np.log(steps.ended), left=np.nan, right=np.nan)
    return plateau.ended / np.exp(known)


def draw(told):
    picture = figure(4.4, "Dropped on a plateau, the rate falls once noise hides progress")
    left, right = picture.subplots(1, 2)
    rate = RATES[0]
    fixed, steps, plateau = (told[name, rate] for name in ("fixed", "steps", "plateau"))
    lines = {
        "fixed 0.1": fixed.excess[0],
        "fixed 0.01": fixed.excess[1],
        "drops at 5 and 10": steps.excess[TIMES.index(5)],
        "drops at 70 and 140": steps.excess[TIMES.index(70)],
        "plateau, k = 20": plateau.excess[WAITS.index(20)],
    }
    for (name, values), color in zip(lines.items(), (MUTED, PATHS[4], PATHS[3], PATHS[2], PATHS[1]), strict=True):
        left.plot(np.arange(1, EPOCHS + 1), values.mean(axis=0), color=color, linewidth=1.8, label=name)
    left.set(yscale="log", xlim=(0, EPOCHS), ylim=(1e-7, 0.3))
    left.set_xlabel("epoch", fontsize=NORMAL, color=INK)
    left.set_ylabel("loss above the least one", fontsize=NORMAL, color=INK)
    left.set_title("from rate 0.1", fontsize=NORMAL, color=INK, loc="left")
    left.legend(fontsize=SMALL, labelcolor=INK, framealpha=0.92, loc="lower left")
    for rate, color, mark in zip(RATES, PATHS, "os^", strict=False):
        steps, plateau = told["steps", rate], told["plateau", rate]
        right.plot(TIMES, steps.ended, color=color, linewidth=1.6, label=f"told in advance, rate {rate:g}")
        look = {"color": color, "markersize": 8, "markeredgecolor": INK}
        right.plot(plateau.first_drop, plateau.ended, mark, **look)
    right.plot(
        [], [], "o", color="none", markeredgecolor=INK, markersize=8, label="plateau, k = 1, 2, 3, 5, 10, 20, 30"
    )
    right.set(xscale="log", yscale="log", ylim=(1e-7, 0.3))
    right.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    right.set_xlabel("epoch of the first drop", fontsize=NORMAL, color=INK)
    right.set_title("after 200 epochs, from three rates", fontsize=NORMAL, color=INK, loc="left")
    right.legend(fontsize=SMALL, labelcolor=INK, framealpha=0.92, loc="lower left")
    for axes in (left, right):
        dress(axes)
        rule(axes)
    return picture


def check(lab: Lab, told) -> None:
    fixed, steps, plateau = ({rate: told[name, rate] for rate in RATES} for name in ("fixed", "steps", "plateau"))
    waited = {rate: plateau[rate].first_drop for rate in RATES}
    lab.claim(
        "the larger k, the later the rule drops, from each rate", all(np.all(np.diff(w) > 0) for w in waited.values())
    )
    lab.claim("and not before k epochs have passed", all(np.all(w >= WAITS) for w in waited.values()))
    slow = [waited[0.02][WAITS.index(k)] / waited[0.1][WAITS.index(k)] for k in (10, 20)]
    lab.claim("from 0.02 it waits at least 1.5 times as long as from 0.1, with k = 10 and 20", min(slow) > 1.5)
    early = [steps[rate].ended[0] / steps[rate].ended.min() for rate in (0.1, 0.05)]
    lab.claim(
        "told after one epoch, descent from 0.1 and 0.05 ends over 20 times as high as told in time", min(early) > 20
    )
    late = steps[0.1].ended
    lab.claim(
        "from 0.1 there is a best epoch: 90 is too late",
        np.argmin(late) < len(late) - 1 and late[-1] > 1.5 * late.min(),
    )
    ratios = np.concatenate([against_told(plateau[rate], steps[rate]) for rate in RATES])
    lab.claim(
        f"the rule ends where drops told at its epoch end, within a factor of 4 (here {np.nanmax(ratios):.1f})",
        np.nanmax(ratios) < 4 and np.nanmin(ratios) > 0.25,
    )
    gains = [fixed[rate].ended.min() / plateau[rate].ended[WAITS.index(20)] for rate in RATES]
    lab.claim(
        f"k = 20 gains at least a factor of 2.5 over the best fixed rate (here {min(gains):.1f} to {max(gains):.1f})",
        min(gains) > 2.5,
    )
    lab.claim("k = 1 is worse than the best fixed rate", all(plateau[r].ended[0] > fixed[r].ended.min() for r in RATES))
    known = [plateau[rate].ended.min() / steps[rate].ended.min() for rate in (0.1, 0.05)]
    lab.claim("who knows the epoch, from 0.1 and 0.05, is over 1.5 times as near as any k", min(known) > 1.5)


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        told = measure(100 if lab.full else lab.numbers.seeds)
        for rate in RATES:
            fixed, steps, plateau = (told[name, rate] for name in ("fixed", "steps", "plateau"))
            table = [
                (f"fixed {rate * share:g}", "", end) for share, end in zip((1, 0.1, 0.01), fixed.ended, strict=True)
            ]
            table += [(f"told: {time} epochs", time, end) for time, end in zip(TIMES, steps.ended, strict=True)]
            waited = zip(WAITS, plateau.first_drop, plateau.ended, strict=True)
            table += [(f"plateau, k = {k}", *pair) for k, *pair in waited]
            lab.table((f"from rate {rate:g}", "first drop, epochs", "loss above the least"), table)
        check(lab, told)
        fixed, steps, plateau = (told[name, RATES[0]].ended for name in ("fixed", "steps", "plateau"))
        says = "drop the rate by ten if the loss has not improved for k epochs"
        ours = (
            f"from {RATES[0]} it ends {plateau.min():.1e} above the least loss, the best fixed rate {fixed.min():.1e}"
        )
        lab.statement("Lecture S3", says, ours=ours, verdict="right", holds=plateau.min() < fixed.min())
        says, best = "do not decay too early, else you get stuck", TIMES[steps.argmin()]
        ours = (
            f"first drop after {TIMES[0]} epoch: {steps[0]:.1e} above the least loss; after {best}: {steps.min():.1e}"
        )
        lab.statement("Lecture S3", says, ours=ours, verdict="right", holds=steps[0] > 20 * steps.min())
        caption = "Left: the loss as the rate drops, by the rule or as told. Right: the last loss, by the first drop."
        lab.save(draw(told), "drop_on_plateau.png", caption)


if __name__ == "__main__":
    main()
