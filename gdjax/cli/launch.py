"""`gdjax launch`: a command by several processes of this machine."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Literal

import tyro

from gdjax import launch, runs
from gdjax.cli.errors import UserError, option_mistakes
from gdjax.cli.on_ray import launch_on_ray
from gdjax.cli.resume import complete
from gdjax.cli.signals import noting
from gdjax.cli.words import MARK
from gdjax.runs import TrainOptions

NAMES = {field.name for field in dataclasses.fields(TrainOptions)}
LEAST = {"processes": 1, "devices_per_process": 1, "max_restarts": 0, "grace": 0}


@dataclasses.dataclass(frozen=True)
class Launch:
    """Train by several processes, which are started again from the newest checkpoint when one is lost.

    `gdjax launch --processes 2 --devices-per-process 4 -- train digits` trains on the digits by two processes with four
    devices each; what comes after -- is a `gdjax train`. The exit code is that of the training.
    """

    command: tyro.conf.Positional[tuple[str, ...]] = ()
    """What to run, after --: train, and its options."""
    processes: int = 2
    """How many, all on this machine; process 0 writes the run folder and prints."""
    engine: Literal["local", "ray"] = "local"
    """What starts them: this command, or Ray, on its cluster, where all hosts reach data and run folder, or a local one."""
    workers: int | None = None
    """With Ray, how many processes; that of --processes if not given."""
    min_workers: int | None = None
    """With Ray, how many suffice to start, or start again, where its cluster has no room for more; all if not given."""
    resources: tuple[str, ...] = ()
    """With Ray, what a process takes of its cluster, such as CPU=4 GPU=1; one CPU if not given."""
    devices_per_process: int = 1
    """Virtual ones on a CPU; of accelerators each process has so many of its own."""
    port: int | None = None
    """Of this machine, where the processes find each other; a free one if not given."""
    max_restarts: int = 3
    """How many may come one after another without a newer checkpoint."""
    grace: float = 10.0
    """Seconds in which processes that are asked to end may do so; then they are killed."""

    def run(self, argv: list[str]) -> int:
        self._check()
        if self.engine == "ray":
            return launch_on_ray(self._job(), self.workers, self.min_workers, self.resources)
        supervisor = launch.Supervisor(self._job())
        with noting(supervisor.abandon) as signals:
            return supervisor.run(signals)

    def _check(self) -> None:
        """Raise UserError for an option that cannot be used."""
        if os.name != "posix":
            raise UserError("this system has no process groups: launch runs on Linux and macOS")
        for name, least in LEAST.items():
            if not getattr(self, name) >= least:
                raise UserError(f"--{name.replace('_', '-')} must be at least {least}, got {getattr(self, name)}")
        if self.port is not None and not 0 < self.port < 1 << 16:
            raise UserError(f"--port must be from 1 to 65535, got {self.port}")
        if self.port is not None and not launch.is_free(self.port):
            raise UserError(f"--port {self.port} is taken: leave it out for a free one")

    def _job(self) -> launch.Job:
        """The job, whose folder is the same for all processes and restarts."""
        from gdjax.cli.main import parse  # which knows all commands, this one too

        words = [word.removeprefix(MARK) for word in self.command]
        if words[:1] != ["train"]:
            raise UserError("what to run comes last: gdjax launch --processes 2 -- train digits")
        asked = parse(words)
        if self.devices_per_process > 1 and asked.devices is None:  # of one process a run takes what it is told
            words += ["--devices", str(self.devices_per_process)]
        options = complete(asked)
        if options.data == "-":
            raise UserError("several processes cannot read the standard input: give the path of a file")
        out = options.out or runs.next_folder(runs.name_of(options.data))
        with option_mistakes(NAMES):
            runs.check_folder(out, options.overwrite, options.resume)
        return launch.Job(
            words=(*words, *([] if options.out else ["--out", str(out)])),
            folder=Path(out),
            processes=self.processes,
            devices=self.devices_per_process,
            port=self.port,
            grace=self.grace,
            max_restarts=self.max_restarts,
        )
