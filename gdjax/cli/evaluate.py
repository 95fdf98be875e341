"""`gdjax evaluate RUN [FILE]`: the scores of a run, recomputed on its own rows or on those of a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tyro

from gdjax.cli.device import use_device
from gdjax.cli.errors import option_mistakes, user_mistakes
from gdjax.runs import LoadedText, evaluate_on, load, read_config, reevaluation

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Load a run and print its scores: on a file, or on its own data, which are read and split again by its seed."""

    folder: tyro.conf.Positional[Path]
    """A run folder, written by `gdjax train`."""
    file: tyro.conf.Positional[Path | None] = None
    """A file with the columns of the training table and the target, or a text; without it, the data of the run itself."""
    level: float | None = None
    """The share of rows that an interval should cover, whose coverage is measured; 0.9 if not given."""

    def run(self, argv: list[str]) -> int:
        run = open_as(load, self.folder)
        with option_mistakes({"level"}):
            if isinstance(run, LoadedText):
                if self.level is not None:
                    raise ValueError("`level` is of intervals, which a run on a text has none of")
                print(run.reevaluation() if self.file is None else run.evaluate_on(self.file))
            else:
                if self.file is None and self.level is not None:
                    raise ValueError("`level` is of the rows of a file: give one to evaluate the run on")
                print(reevaluation(run) if self.file is None else evaluate_on(run, self.file, self.level))
        return 0


def open_as(how: Callable[[Path], T], folder: Path) -> T:
    """The run as it is loaded, after setting up JAX for its dtype."""
    with user_mistakes():
        use_device(None, read_config(folder).dtype)
        return how(folder)
