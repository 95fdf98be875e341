"""`gdjax evaluate RUN [FILE]`: the scores of a run, recomputed on its own rows or on those of a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from gdjax.cli.device import use_device
from gdjax.cli.errors import option_mistakes, user_mistakes
from gdjax.runs import LoadedRun, evaluate_on, load, read_config, reevaluation


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Load a run and print its scores: on the rows of a file, or on its own, which are split again by its seed."""

    folder: tyro.conf.Positional[Path]
    """A run folder, written by `gdjax train`."""
    file: tyro.conf.Positional[Path | None] = None
    """A file with the columns of the training table and the target; without it, the table of the run itself."""
    level: float = 0.9
    """The share of rows that an interval should cover, whose coverage is measured."""

    def run(self, argv: list[str]) -> int:
        run = open_run(self.folder)
        with option_mistakes({"level"}):
            print(reevaluation(run) if self.file is None else evaluate_on(run, self.file, self.level))
        return 0


def open_run(folder: Path) -> LoadedRun:
    """The run, after setting up JAX for its dtype."""
    with user_mistakes():
        use_device(None, read_config(folder).dtype)
        return load(folder)
