"""`gdjax show RUN`: what a run has found, from its folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from gdjax.cli.evaluate import open_as
from gdjax.runs import LoadedText, load, shown


@dataclasses.dataclass(frozen=True)
class Show:
    """Print what a run has learned and how good it is, as its folder says."""

    folder: tyro.conf.Positional[Path]
    """A run folder, written by `gdjax train`."""

    def run(self, argv: list[str]) -> int:
        run = open_as(load, self.folder)
        print(run.shown() if isinstance(run, LoadedText) else shown(run))
        return 0
