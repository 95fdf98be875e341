"""`gdjax evaluate RUN`: the scores of a run folder, recomputed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from gdjax import tasks
from gdjax.cli.device import use_device
from gdjax.cli.errors import UserError, user_mistakes
from gdjax.data import hash_of, load
from gdjax.runs import LoadedRun, read_config, read_run
from gdjax.runs.report import score_table


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Load a run, split its data again by its seed, and print the scores of each part."""

    folder: tyro.conf.Positional[Path]
    """A run folder, written by `gdjax train`."""

    def run(self, argv: list[str]) -> int:
        run = open_run(self.folder)
        data = run.config.data
        with user_mistakes():
            dataset = load(data.source, **data.given)
            if hash_of(dataset) != data.hash:
                raise UserError(f"{data.source} has changed since {self.folder} was trained on it")
        parts = tasks.deal(dataset, data.split, run.config.seed, run.config.dtype)
        objective = tasks.make_objective(run.model, run.config.loss, data.task)
        scores = {name: objective.scores(run.params, rows) for name, rows in parts.by_name().items()}
        print(score_table(parts.rows(), scores, objective.metric, digits=6))
        return 0


def open_run(folder: Path) -> LoadedRun:
    """The run, after setting up JAX for its dtype."""
    with user_mistakes():
        use_device(None, read_config(folder).dtype)
        return read_run(folder)
