"""Does noise prevent overfitting: that of small batches, noise added to the gradient, noise added to the inputs?

    python -m experiments.noise_regularizes [--out lab] [--full]

Lecture S1: injecting small noise is one way to prevent overfitting, and the noise of mini-batches can act as regularization,
since it prevents to look at all the data too closely. S0: the noisy gradient of a small batch can be useful as a
regularization. They give no numbers. Here networks learn from 200 rows: 10-32-1 how diabetes progresses (targets of
variance 1), and 64-32-10 the digits with 15 % of the labels drawn anew. Of two further sets, with right labels, each says
when to stop and the other judges. Eight seeds draw weights, batches and noise, the same for all ways; differences are taken
seed by seed, with their standard error.

Expected: after 1600 steps of descent the loss of other patients is 0.8 with all rows per step, 0.6 with two, 0.5 with noise
in the inputs: these overfit less. But so does a stop in time, 0.49 with all rows, and with noise it is no lower. On the
digits noise in the inputs beats a stop, by 0.09 or ten standard errors; small batches gain nothing that is certain. Noise in
the gradient harms on both, by 0.03 and 0.1. So a small batch does restrain a run of fixed length, as the lecture says; that
noise is better than a stop in time holds here for noise in the inputs alone, and not on all data. About 25 s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax import losses, models
from gdjax.data import fit_scaling, load, split, standardize
from gdjax.plots import style

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    seeds: int = 8
    """Runs of each way, with other weights, batches and noise."""


EVERY, ROWS, WRONG = 40, 200, 0.15
ALL, TWO, TWENTY, GRADIENT, INPUTS = "all rows", "2 rows", "20 rows", "all, gradient + noise", "20 rows, inputs + noise"
LOOKS = {
    ALL: (style.INK, "-"),
    TWO: (style.BLUE, "-"),
    TWENTY: (style.SKY, "-"),
    GRADIENT: (style.ORANGE, "-"),
    INPUTS: (style.VERMILLION, "-"),
}


class Task(NamedTuple):
    """What is learned, by how many steps of descent, with which noise."""

    parts: Callable[[], tuple]  # rows for training, and two sets of others
    model: Any
    loss: Callable  # of an output and a label
    rate: float
    steps: int
    gradient: float  # variance
    inputs: float  # deviation


def patients() -> tuple:
    """For training, for stopping, and for judging: 200, 121 and 121, scaled by the first."""
    data = load("diabetes")
    parts = split((data.x.astype(float), data.y.astype(float)), (200 / 442, 121 / 442, 121 / 442), jax.random.key(0))
    scalings = [fit_scaling(column) for column in parts[0]]
    return tuple(tuple(map(jnp.asarray, map(standardize, scalings, part))) for part in parts)


def digits() -> tuple:
    data, rng = load("digits"), np.random.default_rng(0)
    shares = np.array([ROWS, 300, 300, len(data.y) - ROWS - 600]) / len(data.y)
    (x, y), *others, _ = split((data.x.astype(float), data.y), shares, jax.random.key(0))
    drawn = np.where(rng.random(ROWS) < WRONG, rng.integers(0, 10, ROWS), y)
    return tuple(tuple(map(jnp.asarray, part)) for part in ((x, drawn), *others))


TASKS = {
    "diabetes": Task(
        patients, models.mlp((10, 32, None), "tanh"), lambda y, label: (y - label) ** 2, 0.05, 1600, 0.1, 0.6
    ),
    "digits, 15 % of the labels drawn": Task(
        digits,
        models.mlp((64, 32, 10), "tanh"),
        losses.softmax_cross_entropy_with_integer_labels,
        0.2,
        800,
        0.01,
        0.2,
    ),
}


def runs(task: Task, n: int, seeds: int, gradient=(0.0,), inputs=None) -> np.ndarray:
    """Losses on the training rows and on both sets of others, after every EVERY steps: (strengths, seeds, 3, evaluations).

    Args:
        n: rows per step.
        gradient: variances of normal noise in the gradient.   inputs: in its place, deviations of noise in the inputs.
    """
    train, *others = task.parts()

    def loss(params, row):
        return task.loss(task.model.apply(params, row[0]), row[1])

    def noisy(params, row, key):
        x, label, deviation = row
        return loss(params, (x + deviation * jax.random.normal(key, x.shape), label))

    step = gd.make_step(gd.per_example(loss if inputs is None else noisy))
    epoch = gd.make_epoch(step, n, order="replacement" if n < ROWS else "sequence", steps=EVERY)
    evaluate = gd.make_evaluate(gd.per_example(loss))

    def run(key, strength):
        for_start, for_run, for_noise = jax.random.split(key, 3)
        data = train if inputs is None else (*train, jnp.full(ROWS, strength))
        quiet = inputs is not None or gradient == (0.0,)
        optimizer = gd.sgd(task.rate) if quiet else gd.noisy_sgd(task.rate, strength, 0.0, for_noise)

        def period(state, _):
            state, _ = epoch(state, data)
            return state, jnp.stack([evaluate(state.params, rows)["loss"] for rows in (train, *others)])

        state = gd.make_state(task.model.init(for_start), optimizer, for_run)
        return jax.lax.scan(period, state, length=task.steps // EVERY)[1].T

    over_all = jax.vmap(jax.vmap(run, (0, None)), (None, 0))
    strengths = jnp.array(gradient if inputs is None else inputs)
    return np.asarray(jax.jit(over_all)(jax.random.split(jax.random.key(0), seeds), strengths))


def all_runs(task: Task, seeds: int) -> dict[str, np.ndarray]:
    """What is done -> losses, (seeds, 3, evaluations)."""
    full = runs(task, ROWS, seeds, gradient=(0.0, task.gradient))
    some = runs(task, 20, seeds, inputs=(0.0, task.inputs))
    return {ALL: full[0], TWO: runs(task, 2, seeds)[0], TWENTY: some[0], GRADIENT: full[1], INPUTS: some[1]}


def stopped(errors: np.ndarray) -> np.ndarray:
    """The loss on one set of others where that on the other set is least, mean of both ways round, (seeds,)."""
    seeds, (a, b) = np.arange(len(errors)), (errors[:, 1], errors[:, 2])
    return (b[seeds, a.argmin(axis=1)] + a[seeds, b.argmin(axis=1)]) / 2


def judge(lab: Lab, name: str, found: dict[str, np.ndarray]) -> tuple[dict, dict, dict]:
    """Way -> the loss of others at the end, after a stop in time, and its difference from all rows with standard error."""
    ends = {way: errors[:, 1:, -1].mean() for way, errors in found.items()}
    stops = {way: stopped(errors) for way, errors in found.items()}
    gaps = {way: values - stops[ALL] for way, values in stops.items()}
    told = {way: (gap.mean(), gap.std(ddof=1) / np.sqrt(len(gap))) for way, gap in gaps.items()}
    rows = [
        (way, found[way][:, 0, -1].mean(), ends[way], stops[way].mean(), "{:+.3f} ± {:.3f}".format(*told[way]))
        for way in found
    ]
    lab.table((name, "end, training", "end, others", "stopped, others", "than all rows"), rows)
    return ends, stops, told


def check(lab: Lab, diabetes: tuple, digit: tuple) -> None:
    (ends, _, gaps), (late, _, gains) = diabetes, digit
    lab.claim(
        "diabetes: after 1600 steps two rows per step end lower than all by over a tenth", ends[TWO] < 0.9 * ends[ALL]
    )
    lab.claim("noise in the inputs by over a third", ends[INPUTS] < 0.67 * ends[ALL])
    lab.claim(
        "but after a stop in time nothing is lower than all rows by 0.01", all(gap > -0.01 for gap, _ in gaps.values())
    )
    gain, se = gains[INPUTS]
    lab.claim(
        "digits: noise in the inputs is lower than a stop by over 0.06, and 5 standard errors",
        gain < min(-0.06, -5 * se),
    )
    lab.claim("at the end as well, by over a tenth", late[INPUTS] < 0.9 * late[ALL])
    lab.claim("small batches gain less, by over 0.03", min(gains[TWO][0], gains[TWENTY][0]) > gain + 0.03)
    lab.claim(
        "noise in the gradient is higher than none by 2 standard errors, on both",
        all(gap > 2 * error for gap, error in (gaps[GRADIENT], gains[GRADIENT])),
    )
    words = "injecting small noise is one way to prevent overfitting"
    ours = (
        f"in the inputs it is, on the digits by {-gain:.2f} more than a stop in time; in the gradient it harms on both"
    )
    best = max(gap for each in (gaps, gains) for gap, _ in (each[INPUTS], each[GRADIENT]))
    judged = {"holds": best < -0.01, "partly": gain < -0.01 and min(gaps[GRADIENT][0], gains[GRADIENT][0]) > 0}
    lab.statement("Lecture S1", words, ours=ours, verdict="imprecise", **judged)
    words = "the noisy gradient of a small batch can be useful as regularization"
    ours = (
        f"in a run of fixed length, {ends[TWO]:.2f} against {ends[ALL]:.2f}; after a stop in time {gaps[TWO][0]:+.3f} "
        "beside all rows"
    )
    judged = {"holds": gaps[TWO][0] < -0.01, "partly": ends[TWO] < 0.9 * ends[ALL]}
    lab.statement("Lecture S0", words, ours=ours, verdict="imprecise", **judged)


def draw(title: str, found: dict[str, dict[str, np.ndarray]], looks: dict[str, tuple[str, str]], columns: int):
    """The loss of rows not trained on, by the way, whose color and line are given; dotted, a stop in time of the first."""
    picture, first = style.figure(4.9, title), next(iter(looks))
    for axes, (name, ways) in zip(picture.subplots(1, 2), found.items(), strict=True):
        means = {way: ways[way][:, 1:].mean(axis=(0, 1)) for way in looks}
        for way, (color, line) in looks.items():
            steps = EVERY * np.arange(1, len(means[way]) + 1)
            axes.plot(steps, means[way], line, color=color, linewidth=1.7, label=way)
        axes.axhline(
            means[first].min(), color=style.INK, linestyle=":", linewidth=1.2, label=f"{first}, stopped in time"
        )
        low, high = min(each.min() for each in means.values()), max(each[-1] for each in means.values())
        axes.set(xlabel="step of descent", ylim=(0.9 * low, 1.1 * high))
        axes.set_title(name, fontsize=style.NORMAL, loc="left")
        style.dress(axes)
        style.rule(axes)
    picture.axes[0].set_ylabel("loss of others, mean of the seeds")
    handles = picture.axes[0].get_legend_handles_labels()
    picture.legend(*handles, loc="outside lower center", ncols=columns, fontsize=style.SMALL, frameon=False)
    return picture


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        found = {name: all_runs(task, 40 if lab.full else lab.numbers.seeds) for name, task in TASKS.items()}
        check(lab, *(judge(lab, name, ways) for name, ways in found.items()))
        lab.save(
            draw("Noise in the inputs prevents overfitting, the others hardly do", found, LOOKS, 3),
            "noise_regularizes.png",
            "The loss of rows not trained on, step by step, for five kinds of noise; dotted, a stop in time without any.",
        )


if __name__ == "__main__":
    main()
