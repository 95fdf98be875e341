"""What does a larger batch buy, and what does it cost: precision, steps, passes over the data, time?

    python -m experiments.batch_size [--out lab] [--full] [--loss 0.2]

Lecture S0: a batch twice as large estimates the gradient more precisely by sqrt(2); it means fewer iterations per epoch, so
more epochs are needed to compare; in practice the size is 32 to 256 (50 to 256 in S3), by memory. It gives no other numbers.
Here a network 64-32-10 learns the digits, N = 1400 of them. The error of a mini-batch gradient is its root mean square
distance from the gradient of all rows, over 500 batches as the training loop draws them. Of rows drawn with replacement it
should be sigma / sqrt(n), sigma² the variance of a single row's gradient; without (a shuffle, the default) that times
sqrt((N - n) / (N - 1)), since a batch of all rows has no error: twice the rows gain sqrt(2) only while n is far below N.

Expected: slope -1/2; without replacement a doubling gains 1.43 at 32, 1.49 at 128, 1.61 at 256, and everything at 700. The
steps to a validation loss of 0.2 are 375 at rate 0.1 for every n from 32 to 1400, at the best rate 82 of 32 rows and 52
of all: more precision saves few steps, so that at equal rates 256 rows take seven times the epochs of 32. A step of 16
rows costs 2 to 3 times one of a single row, from 64 rows on its cost is nearly proportional to n. About 24 s.
"""

from __future__ import annotations

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax import losses, models
from gdjax.data import batch_indices, batches_per_epoch, load, split
from gdjax.plots import style
from gdjax.stopping import target

from .lab import Lab

MODEL, DRAWS = models.mlp((64, 32, 10)), 500
SIZES = (1, 4, 16, 32, 64, 128, 256, 512, 700, 1024, 1400)
TRAINED, RATES, EVERY, MOST = (32, 64, 128, 256, 1400), (0.1, 0.4, 0.8), 2, 2000
TIMED, REPEATS, STEPS = (1, 16, 64, 256, 1024), 7, 50
QUICK = {"xla_backend_optimization_level": 0}  # the programs are many and their work is small
KINDS = {"replacement": "with replacement", "shuffle": "without"}


@dataclasses.dataclass(frozen=True)
class Numbers:
    loss: float = 0.2
    """The validation loss to which steps are counted."""


def digits():
    """Rows for training, 1400 of them, and others."""
    data = load("digits")
    return split((jnp.asarray(data.x, float), jnp.asarray(data.y)), (1400 / 1797, 397 / 1797), jax.random.key(0))


def cross_entropy(params, row):
    x, label = row
    return losses.softmax_cross_entropy_with_integer_labels(MODEL.apply(params, x), label)


def deviations(params, rows) -> jax.Array:
    """The gradient of each row minus that of all, (N, parameters)."""
    gradients = jax.vmap(jax.grad(cross_entropy), (None, 0))(params, rows)
    matrix = jnp.concatenate([leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(gradients)], axis=1)
    return matrix - matrix.mean(axis=0)


def draws(order: str, rows: int, n: int, key) -> np.ndarray:
    """How often each row is in each of so many batches of n, the first of their epochs, (DRAWS, rows)."""
    first = jnp.arange(DRAWS) * batches_per_epoch(rows, n)
    each = jax.vmap(lambda batch: batch_indices(order, key, batch, rows, n)[0])
    chosen = jax.jit(each, compiler_options=QUICK)(first)
    counts = np.zeros((DRAWS, rows))
    np.add.at(counts, (np.arange(DRAWS)[:, None], np.asarray(chosen)), 1)
    return counts


def errors(away: np.ndarray) -> dict[str, np.ndarray]:
    """The error of a batch of each size, by the way of drawing; |sum of deviations|² by their products, which are fewer."""
    products, rows = away @ away.T, len(away)

    def error(order: str, n: int) -> float:
        counts = draws(order, rows, n, jax.random.key(n))
        return np.sqrt(np.mean(np.einsum("ij,ij->i", counts @ products, counts)).clip(0)) / n

    return {order: np.array([error(order, n) for n in SIZES]) for order in KINDS}


def laws(away: np.ndarray) -> dict[str, np.ndarray]:
    n, rows = np.array(SIZES), len(away)
    independent = np.sqrt(np.mean(np.sum(away**2, axis=1)) / n)
    return {"replacement": independent, "shuffle": independent * np.sqrt((rows - n) / (rows - 1))}


def steps_to_target(train, validation, n: int, rate: float, seed: int, good: float) -> float:
    """Steps until the validation loss is good; infinite if they are more than MOST."""
    start, loss = MODEL.init(jax.random.key(seed)), gd.per_example(cross_entropy)
    lengths = {"steps": MOST, "every": EVERY, "stop": target(good)}
    run = gd.fit(loss, start, gd.sgd(rate), train, validation, batch_size=n, key=seed, **lengths)
    return run.steps if run.stop == gd.Stop.TARGET else np.inf


def trainings(train, validation, seeds: int, good: float) -> np.ndarray:
    """Median steps to the target, (sizes, rates)."""
    return np.array(
        [
            [
                np.median([steps_to_target(train, validation, n, rate, seed, good) for seed in range(seeds)])
                for rate in RATES
            ]
            for n in TRAINED
        ]
    )


def step_times(train) -> np.ndarray:
    """CPU microseconds of a step of each size, the least of several loops, which take turns."""
    step, state = gd.make_step(gd.per_example(cross_entropy)), gd.make_state(MODEL.init(jax.random.key(0)), gd.sgd(0.1))
    loops = [jax.jit(gd.make_epoch(step, n, order="replacement", steps=STEPS)) for n in TIMED]
    taken = np.empty((REPEATS, len(TIMED)))
    for i in range(REPEATS):
        for j, loop in enumerate(loops):
            began = time.process_time()
            jax.block_until_ready(loop(state, train))
            taken[i, j] = time.process_time() - began
    return 1e6 * taken[1:].min(axis=0) / STEPS  # the first compiles


def draw_precision(measured, said):
    picture = style.figure(4.8, "Twice the rows, √2 times the precision")
    axes = picture.subplots()
    for order, color, mark in (("replacement", style.VERMILLION, "o"), ("shuffle", style.BLUE, "s")):
        axes.plot(SIZES[:-1], measured[order][:-1], mark, color=color, markersize=6, label=f"measured, {KINDS[order]}")
    n = np.geomspace(1, 1399.5, 2000)
    sigma = said["replacement"][0]
    axes.plot(n, sigma / np.sqrt(n), color=style.VERMILLION, linewidth=1.2, label="σ / √n")
    finite = sigma / np.sqrt(n) * np.sqrt((1400 - n) / 1399)
    axes.plot(n, finite, color=style.BLUE, linewidth=1.2, label="σ / √n · √((N − n) / (N − 1))")
    axes.axvspan(32, 256, color=style.RULE, zorder=0)
    axes.text(90, sigma * 1.25, "32 to 256", fontsize=style.SMALL, color=style.MUTED, ha="center", va="top")
    axes.set(xscale="log", yscale="log", ylim=(sigma / 150, sigma * 1.4), xlabel="rows n of a batch, of N = 1400")
    axes.set_ylabel("error of the gradient")
    ticks = 1, 4, 16, 32, 64, 128, 256, 512, 1400
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    finish(axes)
    return picture


def finish(axes) -> None:
    style.dress(axes)
    style.rule(axes)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(fontsize=style.NORMAL, color=style.INK)
    look = {"fontsize": style.SMALL, "labelcolor": style.INK, "ncols": 2, "columnspacing": 1.2, "frameon": False}
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), **look)


def draw_cost(steps, times, rows: int, good: float):
    picture = style.figure(4.4, "A larger batch saves few steps, and costs passes and time")
    left, right = picture.subplots(1, 2)
    for i, (words, color, mark) in enumerate((("rate 0.1", style.BLUE, "o"), ("best rate", style.VERMILLION, "s"))):
        taken = steps.min(axis=1) if i else steps[:, 0]
        left.plot(TRAINED, taken, mark + "--", color=color, label=f"steps, {words}")
        left.plot(TRAINED, taken * TRAINED / rows, mark + "-", color=color, label=f"epochs, {words}")
    left.set(xscale="log", yscale="log", xlabel="rows of a batch", ylabel=f"steps or epochs to a loss of {good:g}")
    left.set_xticks(TRAINED, [str(n) for n in TRAINED])
    right.plot(TIMED, times, "o-", color=style.BLUE, label="a step, µs")
    right.plot(TIMED, times / TIMED, "s-", color=style.VERMILLION, label="a row of it, µs")
    right.set(xscale="log", yscale="log", xlabel="rows of a batch", ylabel="CPU time, µs")
    right.set_xticks(TIMED, [str(n) for n in TIMED])
    for axes in (left, right):
        axes.minorticks_off()
        finish(axes)
    return picture


def precision(lab: Lab, train) -> None:
    away = np.asarray(jax.jit(deviations)(MODEL.init(jax.random.key(1)), train))
    measured, said = errors(away), laws(away)
    gains = {order: values[:-1] / np.maximum(values[1:], 1e-15) for order, values in measured.items()}
    rows = zip(SIZES, *(column[order] for order in KINDS for column in (measured, said)), strict=True)
    lab.table(("rows", "with replacement", "law", "without", "law"), rows)
    slope = np.polyfit(np.log(SIZES), np.log(measured["replacement"]), 1)[0]
    lab.claim(f"with replacement the error falls like n^{slope:.4f}, -1/2 within 0.01", abs(slope + 0.5) < 0.01)
    off = {order: np.max(np.abs(measured[order][:-1] / said[order][:-1] - 1)) for order in KINDS}
    lab.claim(f"all errors are within 4 % of the two laws ({100 * max(off.values()):.1f} %)", max(off.values()) < 0.04)
    lab.claim("a batch of all rows has no error without replacement", measured["shuffle"][-1] < 1e-6)
    doubled = [i for i in range(len(SIZES) - 1) if SIZES[i + 1] == 2 * SIZES[i]]
    by_root = {order: np.allclose(gain[doubled], np.sqrt(2), rtol=0.05) for order, gain in gains.items()}
    lab.claim("with replacement every doubling gains sqrt(2), within 5 %", by_root["replacement"])
    at = {SIZES[i]: gains["shuffle"][i] for i in doubled}
    lab.claim(
        f"without it gains {at[32]:.2f} at 32, {at[128]:.2f} at 128: 1.43 and 1.49, within 5 %",
        abs(at[32] / 1.431 - 1) < 0.05 and abs(at[128] / 1.491 - 1) < 0.05,
    )
    says = "a batch twice as large is more precise by sqrt(2)"
    ours = f"with replacement; without, {at[32]:.2f} at 32 and {at[128]:.2f} at 128 of {len(away)} rows"
    holds = {"holds": all(by_root.values()), "partly": by_root["replacement"]}
    lab.statement("Lecture S0", says, ours=ours, verdict="imprecise", **holds)
    lab.save(
        draw_precision(measured, said),
        "batch_size_precision.png",
        "The error of a batch's gradient by its rows: with replacement it halves for four times the rows.",
    )


def cost(lab: Lab, train, validation) -> None:
    rows = len(train[1])
    steps, times = trainings(train, validation, 5 if lab.full else 1, lab.numbers.loss), step_times(train)
    per_epoch = [batches_per_epoch(rows, n) for n in TRAINED]
    best = steps.min(axis=1)
    table = zip(TRAINED, per_epoch, steps[:, 0], steps[:, 0] / per_epoch, best, best / per_epoch, strict=True)
    lab.table(("rows", "steps per epoch", "steps at 0.1", "epochs", "steps at the best rate", "epochs"), table)
    lab.table(("rows", "step, µs", "per row, µs"), zip(TIMED, times, times / TIMED, strict=True))
    lab.claim("a batch twice as large halves the steps of an epoch: 44, 22, 11, 6, 1", per_epoch == [44, 22, 11, 6, 1])
    equal = steps[:, 0] / np.median(steps[:, 0])
    lab.claim("at rate 0.1 all sizes take the same number of steps, within 15 %", np.all(np.abs(equal - 1) < 0.15))
    epochs = steps * np.array(TRAINED)[:, None] / rows
    lab.claim("so 256 rows take over 6 times as many epochs as 32", epochs[3, 0] > 6 * epochs[0, 0])
    lab.claim(
        "at the best rate all rows at once save under two thirds of the steps of 32, in over 10 times the epochs",
        best[-1] > best[0] / 3 and epochs[-1].min() > 10 * epochs[0].min(),
    )
    cheap, dear = times[1] / times[0], times[-1] / times[2]
    lab.claim(f"a step of 16 rows costs under 8 times one of 1 ({cheap:.1f} times)", cheap < 8)
    lab.claim(f"one of 1024 over 4 times one of 64 ({dear:.1f} times)", dear > 4)
    says = "a larger batch has fewer iterations in an epoch and needs more epochs to compare"
    ours = f"{epochs[3, 0]:.0f} epochs of 256 rows, {epochs[0, 0]:.0f} of 32, for the same loss at rate 0.1"
    more = np.all(np.diff(per_epoch) < 0) and np.all(np.diff(epochs[:, 0]) > 0)
    lab.statement("Lecture S0", says, ours=ours, verdict="right", holds=more)
    a_row = times / TIMED / times[0]
    ours = (
        f"a row costs {a_row[2]:.2g} in a step of {TIMED[2]}, {a_row[3]:.2g} in one of {TIMED[3]} of what it does alone"
    )
    says = "mini-batches of 50 to 256 are efficient"
    lab.statement("Lecture S3", says, ours=ours, verdict="right", holds=max(a_row[2:4]) < 0.5)
    says = "all rows at every step are data-inefficient; without mini-batches training takes too long"
    waste = epochs[-1].min() / epochs[0].min()
    ours = f"for the same loss all {rows:,} rows at every step are {waste:.0f} times the passes over them that 32 are"
    lab.statement("Lectures S1 and S3", says, ours=ours, verdict="right", holds=waste > 10)
    says = "huge batches in self-supervised learning"
    ours = "not tried: they serve a loss that compares the rows of a batch with one another (SimCLR, arXiv:2002.05709)"
    lab.statement("Lecture S0", says, ours=ours, verdict="not judged")
    lab.save(
        draw_cost(steps, times, rows, lab.numbers.loss),
        "batch_size_cost.png",
        "Left: steps and epochs to one loss, by the rows of a batch. Right: the time of a step, and of each row.",
    )


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        train, validation = digits()
        precision(lab, train)
        cost(lab, train, validation)


if __name__ == "__main__":
    main()
