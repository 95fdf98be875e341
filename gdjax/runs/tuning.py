"""The choice of encoding and decay by validation loss: each is tried in a whole run, and that of the least loss is taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gdjax.runs.defaults import Choice
from gdjax.runs.job import Job, run_through
from gdjax.runs.problem import Encoded, Problem

MOST_ROWS = 50_000  # training rows of a trial; of a larger table a sample by the seed


class Trial(NamedTuple):
    """A choice, and what came of it."""

    numbers: str
    weight_decay: float | None
    validation_loss: float
    epoch: float  # at which it was reached


def try_all(
    problem: Problem,
    choices: Sequence[Choice],
    job_of: Callable[[Encoded, Choice], Job],
    dtype: str,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Trial, ...]:
    """Train by each choice, in order; one compiled program for each way to encode numbers.

    Args:
        job_of: the run of a choice.
        tell: called with a few words before each trial.
    """
    trials, numbers, encoded = [], None, problem.encode(choices[0].numbers, dtype=dtype)
    for i, choice in enumerate(choices):
        tell(f"trying {i + 1} of {len(choices)} ways to encode numbers and to decay weights")
        if numbers not in (None, choice.numbers):
            encoded = problem.encode(choice.numbers, dtype=dtype)
        numbers = choice.numbers
        result = run_through(job_of(encoded, choice), encoded.parts)
        best = result.best_evaluation
        epoch = float(result.history["epoch"][best]) if best >= 0 else np.nan
        trials.append(Trial(numbers, choice.weight_decay, result.best_value if best >= 0 else np.inf, epoch))
    return tuple(trials)


def best(trials: Sequence[Trial]) -> Choice:
    """The choice of the least validation loss, the first of equal ones."""
    least = min(trials, key=lambda trial: trial.validation_loss)
    return Choice(least.numbers, least.weight_decay)


def sampled(problem: Problem, seed: int) -> Problem:
    """The problem on at most MOST_ROWS training rows, drawn by the seed."""
    train = problem.rows.train
    if len(train) <= MOST_ROWS:
        return problem
    drawn = np.sort(np.random.default_rng(seed).choice(train, MOST_ROWS, replace=False))
    return dataclasses.replace(problem, rows=dataclasses.replace(problem.rows, train=drawn))
