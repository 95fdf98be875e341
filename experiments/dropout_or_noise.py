"""Dropout or noise: which prevents overfitting, and is dropout more than noise of its size?

    python -m experiments.dropout_or_noise [--out lab] [--full] [--seeds 6]

Lecture S1: injecting small noise is one way to prevent overfitting; it gives no numbers, and does not speak of dropout,
which silences units at random. Srivastava et al. 2014 (section 10) multiply hidden units by normal numbers of mean 1 and
variance p / (1 - p), as dropout of probability p has it, and find the same. Here networks learn from 200 rows: 10-64-1 how
diabetes progresses (targets of variance 1), and 64-64-10 the digits with 15 % of the labels drawn anew. Of two further
sets, with right labels, each says when to stop and the other judges. Six seeds draw weights, batches and noise, the same
for all ways; differences are taken seed by seed, with their standard error.

Expected: dropout of 0.5 and normal noise of its variance do the same: after a stop in time their losses are 0.01 apart or
less. So it is the noise that counts, and not the zeros. On the patients all ways end at 0.48 to 0.50, nothing at 0.70, but
a stop in time has 0.50 as well: they gain 0.02 at most. On the digits dropout gains 0.02 on a stop, noise added to hidden
units 0.05, and noise in the inputs 0.1. Where we know which changes of an example mean nothing, noise there is worth more
than dropout. About 20 s.
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
from gdjax.plots import style

from .lab import Lab
from .noise_regularizes import EVERY, digits, draw, patients, stopped

BATCH = 20
NOTHING, SMALL, LARGE = "nothing", "dropout 0.2", "dropout 0.5"
TIMES, PLUS, INPUTS, DECAY = "hidden × noise", "hidden + noise", "inputs + noise", "weight decay"


@dataclasses.dataclass(frozen=True)
class Numbers:
    seeds: int = 6
    """Networks of each kind."""


@gd.model(bounds={"times": "[0, inf)", "plus": "[0, inf)"})
def noise(times, plus):
    """x (1 + times z) + plus z', with unit normal numbers, where a key is given."""

    def apply(params, x, key=None):
        if key is None:
            return x
        z = jax.random.normal(key, (2, *x.shape))
        return x * (1 + times * z[0]) + plus * z[1]

    return lambda key: (), apply


def network(sizes, rate, times, plus, inputs):
    """One hidden layer of tanh units, with dropout and noise of both kinds, and noise in the inputs."""
    size, hidden, out = sizes
    return models.serial(
        noise(0.0, inputs),
        models.dense(size, hidden, models.xavier_normal()),
        models.activation("tanh"),
        models.dropout(rate),
        noise(times, plus),
        models.dense(hidden, out),
    )


# way -> (rate of dropout, deviations of both kinds of noise in hidden units and of that in the inputs, weight decay)
WAYS = {
    NOTHING: (0.0, 0.0, 0.0, 0.0, 0.0),
    SMALL: (0.2, 0.0, 0.0, 0.0, 0.0),
    LARGE: (0.5, 0.0, 0.0, 0.0, 0.0),
    TIMES: (0.0, 1.0, 0.0, 0.0, 0.0),  # the variance of dropout 0.5
    PLUS: (0.0, 0.0, 0.5, 0.0, 0.0),
    INPUTS: (0.0, 0.0, 0.0, 1.0, 0.0),  # in units of the task
    DECAY: (0.0, 0.0, 0.0, 0.0, 1.0),  # likewise
}
LOOKS = {
    NOTHING: (style.INK, "-"),
    SMALL: (style.SKY, "-"),
    LARGE: (style.BLUE, "-"),
    TIMES: (style.VERMILLION, "--"),
    PLUS: (style.ORANGE, "-"),
    INPUTS: (style.GREEN, "-"),
    DECAY: (style.MUTED, "-"),
}


class Task(NamedTuple):
    """What is learned, by how many steps of descent."""

    parts: Callable[[], tuple]  # rows for training, and two sets of others
    sizes: tuple[int, int, int | None]
    loss: Callable[..., Any]
    rate: float
    steps: int
    inputs: float  # deviation of noise in the inputs
    decay: float


TASKS = {
    "diabetes": Task(patients, (10, 64, None), losses.squared_error, 0.05, 1600, 0.6, 0.05),
    "digits, 15 % of the labels drawn": Task(
        digits, (64, 64, 10), losses.softmax_cross_entropy_with_integer_labels, 0.2, 1200, 0.2, 0.002
    ),
}


def runs(task: Task, seeds: int) -> dict[str, np.ndarray]:
    """Way -> losses on the training rows and on both sets of others, after every EVERY steps: (seeds, 3, evaluations)."""
    train, *others = task.parts()

    def run(key, way):
        for_start, for_run = jax.random.split(key)
        rate, times, plus, inputs, decay = way
        model = network(task.sizes, rate, times, plus, inputs * task.inputs)
        loss = gd.supervised(model, task.loss)
        epoch = gd.make_epoch(
            gd.make_step(gd.per_example(loss, penalty=losses.Penalty(decay * task.decay, 0.0))), BATCH, steps=EVERY
        )
        evaluate = gd.make_evaluate(gd.per_example(loss))

        def period(state, _):
            state, _ = epoch(state, train)
            return state, jnp.stack([evaluate(state.params, rows)["loss"] for rows in (train, *others)])

        state = gd.make_state(model.init(for_start), gd.sgd(task.rate), for_run)
        return jax.lax.scan(period, state, length=task.steps // EVERY)[1].T

    over_all = jax.vmap(jax.vmap(run, (0, None)), (None, 0))
    found = jax.jit(over_all)(jax.random.split(jax.random.key(0), seeds), jnp.array(list(WAYS.values())))
    return dict(zip(WAYS, np.asarray(found), strict=True))


def judge(lab: Lab, name: str, found: dict[str, np.ndarray]) -> tuple[dict, dict]:
    """Way -> the loss of others at the end; and after a stop in time, its difference from nothing with standard error."""
    ends = {way: errors[:, 1:, -1].mean() for way, errors in found.items()}
    stops = {way: stopped(errors) for way, errors in found.items()}
    gaps = {way: values - stops[NOTHING] for way, values in stops.items()}
    told = {way: (gap.mean(), gap.std(ddof=1) / np.sqrt(len(gap))) for way, gap in gaps.items()}
    rows = [
        (way, errors[:, 0, -1].mean(), ends[way], stops[way].mean(), "{:+.3f} ± {:.3f}".format(*told[way]))
        for way, errors in found.items()
    ]
    lab.table((name, "end, training", "end, others", "stopped, others", "than nothing"), rows)
    return ends, told


def check(lab: Lab, patients: tuple[dict, dict], digits: tuple[dict, dict]) -> None:
    (ends, gaps), (late, gains) = patients, digits
    apart = [abs(each[LARGE][0] - each[TIMES][0]) for each in (gaps, gains)]
    lab.claim(
        "after a stop, dropout 0.5 and normal noise of its variance are within 0.03 of each other", max(apart) < 0.03
    )
    lab.claim(
        "diabetes: both end lower than nothing by over a fifth", max(ends[LARGE], ends[TIMES]) < 0.8 * ends[NOTHING]
    )
    lab.claim("but nothing is lower than a stop in time by 0.03", all(gap > -0.03 for gap, _ in gaps.values()))
    gain, error = gains[LARGE]
    lab.claim("digits: dropout 0.5 is lower than a stop by two standard errors", gain < -2 * error)
    lab.claim("noise in the inputs by over 0.04 more", gains[INPUTS][0] < gain - 0.04)
    lab.claim("at the end as well", late[INPUTS] < late[LARGE] - 0.04)
    lowest = min(gap for gap, _ in gaps.values())
    lab.statement(
        "Lecture S1",
        "injecting small noise is one way to prevent overfitting",
        ours=f"noise in the inputs lowers the loss at the end from {ends[NOTHING]:.2f} to {ends[INPUTS]:.2f} and from "
        f"{late[NOTHING]:.2f} to {late[INPUTS]:.2f}; on a stop in time it gains {-gains[INPUTS][0]:.2f} on the digits, "
        f"dropout {-gain:.2f}, on diabetes no way more than {-lowest:.2f}",
        verdict="imprecise",
        holds=max(gaps[INPUTS][0], gains[INPUTS][0]) < -0.01,
        partly=gains[INPUTS][0] < -0.01,
    )


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        found = {name: runs(task, 30 if lab.full else lab.numbers.seeds) for name, task in TASKS.items()}
        check(lab, *(judge(lab, name, ways) for name, ways in found.items()))

        caption = (
            "The loss of rows not trained on, step by step: dropout 0.5 and normal noise of its variance go together."
        )
        lab.save(draw("Dropout is one kind of noise", found, LOOKS, 4), "dropout_or_noise.png", caption)


if __name__ == "__main__":
    main()
