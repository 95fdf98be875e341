"""`gdjax show RUN`: what a run has found, from its folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from gdjax.cli.evaluate import open_run
from gdjax.runs import shown


@dataclasses.dataclass(frozen=True)
class Show:
    """Print what a run has learned and how good it is, as its folder says."""

    folder: tyro.conf.Positional[Path]
    """A run folder, written by `gdjax train`."""

    def run(self, argv: list[str]) -> int:
        print(shown(open_run(self.folder)))
        return 0
