"""`gdjax replay RUN`: where a run has gone wrong."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import tyro

from gdjax import runs
from gdjax.cli.device import use_device
from gdjax.cli.errors import user_mistakes
from gdjax.cli.train import Train
from gdjax.cli.words import parse_command


@dataclasses.dataclass(frozen=True)
class Replay:
    """Repeat the step with which a run ended NON_FINITE, and show where the first such value was born: line, values, rows.

    The step is run again from the saved state, in the program of the run; then it is evaluated operation by operation. Exit
    code 1 if it is finite here, as it may be with other versions or on another machine.
    """

    folder: tyro.conf.Positional[Path]
    """A run folder, written by `gdjax train`."""

    def run(self, argv: list[str]) -> int:
        with user_mistakes():
            record, config = runs.read_failure(self.folder), runs.read_config(self.folder)
            options = dataclasses.replace(parse_command(Train, config.command), devices=None, shard=None, resume=True)
            use_device(options.device, options.dtype, options.deterministic)
            work = options.begin(config.command, config)
            found = runs.explain_failure(self.folder, work.config, runs.prepare(work.job, work.parts))
        if found is None:
            print(
                f"gdjax: step {record.step} of {self.folder} is finite here, with these versions and cores",
                file=sys.stderr,
            )
            return 1
        print(found)
        return 0
