"""A run on a table that is chosen and checked before its first step, and what identifies it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdjax import tasks
from gdjax.networks import NETWORKS
from gdjax.runs import defaults, tuning
from gdjax.runs.config import DataConfig, RunConfig
from gdjax.runs.defaults import Choice
from gdjax.runs.intervals import folds_of
from gdjax.runs.job import Job, plan
from gdjax.runs.machine import environment
from gdjax.runs.options import TrainOptions
from gdjax.runs.problem import Encoded, Problem, pose, reading_of
from gdjax.runs.topology import placement_of, topology_of
from gdjax.runs.tuning import Trial
from gdjax.tables import Encoding, PixelEncoding
from gdjax.tasks import Objective, Parts, Subject
from gdjax.training import Result
from gdjax.training.together import everyone

if TYPE_CHECKING:
    from gdjax.runs.ending import Ending


Tell = Callable[[str], None]


class Work(NamedTuple):
    """A run on a table that is chosen and checked, and what identifies it."""

    problem: Problem
    encoding: Encoding | PixelEncoding
    subject: Subject
    parts: Parts
    job: Job
    config: RunConfig
    job_of: Callable[[Parts], Job]  # the same run on other parts
    trials: tuple[Trial, ...] = ()  # what the choice went by

    def end(self, folder: Path, result: Result, options: TrainOptions, tell: Callable[[str], None]) -> Ending:
        """What the run adds to its folder at its end."""
        from gdjax.runs.ending import end_table

        return end_table(self, folder, result, options, tell)


def choose(
    data: Any,
    options: TrainOptions,
    command: str,
    choice: Choice | None = None,
    tell: Tell = lambda _: None,
) -> Work:
    """Read the table, and choose what the options leave open.

    Args:
        data: as for `pose`.
        command: the words that repeat the run.
        choice: what was chosen before, in a run that goes on.
        tell: called with a few words on what is being done.

    Raises: ValueError, in one line, for a table, a column or an option that cannot be used.
    """
    problem, trials = pose(data, options), ()
    defaults.check_used(options)
    rows, job_of = len(problem.rows.train), functools.partial(job_by, options)
    open_ = defaults.choices(options, rows, problem.understanding.task, bool(problem.table.shape))
    if choice is None:
        choice = open_[0]
        if len(open_) > 1:
            trials = _trials(problem, open_, job_of, options, tell)
            choice = tuning.best(trials)
    elif choice not in open_:
        raise ValueError(f"the run has {choice}, which these options exclude; give its own, or another `out`")
    encoded = problem.encode(choice.numbers, options.model in NETWORKS, options.dtype)
    job = job_of(encoded, choice)
    defaults.check_threshold(options, encoded.subject, job.objective.loss_name)
    config = _config(encoded, job, options, choice, _source(data), command)
    again = lambda parts: job_of(encoded._replace(parts=parts), choice)  # noqa: E731
    return Work(*encoded, job, config, again, trials)


def _trials(
    problem: Problem, open_: Sequence[Choice], job_of: Callable[..., Job], options: TrainOptions, tell: Tell
) -> tuple[Trial, ...]:
    """What came of each choice: process 0 alone tries them, on one device, and tells the others."""
    sample = tuning.sampled(problem, options.seed)
    found = everyone().tell(lambda: tuning.try_all(sample, open_, job_of, options.dtype, tell))
    return tuple(Trial(*trial) for trial in found)


def job_by(options: TrainOptions, encoded: Encoded, choice: Choice) -> Job:
    """The run of a choice, checked before its first step."""
    made = objective(encoded.subject, encoded.parts, options)
    return plan(made, encoded.parts, defaults.settings(options, choice, len(encoded.parts.train[0])))


def objective(subject: Subject, parts: Parts, options: TrainOptions) -> Objective:
    """The model with its loss, for these options."""
    weights = defaults.class_weights(options, subject, np.asarray(parts.train[1]))
    model = options.model, options.loss, defaults.members(options), weights
    return tasks.choose(subject, *model, **options.words)


def _source(data: Any) -> str:
    return os.fspath(data) if isinstance(data, (str, os.PathLike)) else "a data frame"


def _config(encoded: Encoded, job: Job, options: TrainOptions, choice: Choice, source: str, command: str) -> RunConfig:
    problem = encoded.problem
    understanding = problem.understanding
    data = DataConfig(
        source=source,
        reading=dict(reading_of(options)),
        name=encoded.subject.name,
        hash=problem.hash(),
        target=understanding.target,
        task=encoded.subject.task,  # type: ignore[arg-type]
        split=tuple(options.split),
        rows=encoded.parts.rows(),
        columns=tuple(column.name for column in understanding.columns),
        numbers=choice.numbers,
        target_names=encoded.subject.classes,
        shape=encoded.subject.shape,
    )
    return RunConfig(
        command=command,
        data=data,
        weight_decay=choice.weight_decay,
        class_weights=defaults.class_weights(options, encoded.subject, np.asarray(encoded.parts.train[1])),
        threshold=options.threshold,
        folds=folds_of(options, encoded.subject, encoded.parts),
        **job.said,
        split_seed=options.seed_of_split,
        **topology_of(placement_of(options)),
        **environment(),
    )
