"""`gdjax train`: trains a model on a table and writes a run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import shlex
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gdjax import runs, tasks
from gdjax.cli.device import use_device
from gdjax.cli.errors import option_mistakes
from gdjax.cli.options import Options
from gdjax.data import load
from gdjax.optimizers.request import OptimizerRequest
from gdjax.runs.report import describe_run, numbers, pictures

OPTIMIZER = "adamw(weight_decay=1.0)"  # the default; adam if a decay is given
NAMES = {field.name for field in dataclasses.fields(Options)}
INTERRUPTED = 130  # exit code after Ctrl-C


@dataclasses.dataclass(frozen=True)
class Train(Options):
    """Train a model on a data set and write a run folder: config, metrics, result, parameters, pictures."""

    def run(self, argv: list[str]) -> int:
        use_device(self.device, self.dtype)
        folder = self.out or next_folder(self.data)
        with contextlib.ExitStack() as stack:
            with option_mistakes(NAMES):
                draft = stack.enter_context(runs.new_folder(folder, self.overwrite))
                given = {name: getattr(self, name) for name in ("target", "task") if getattr(self, name) is not None}
                dataset = load(self.data, **given)
                parts = tasks.deal(dataset, self.split, self.seed, self.dtype)
                objective = tasks.choose(dataset, self.model, self.loss, self.hidden, self.activation)
                job = runs.plan(objective, parts, self._settings())
                command = shlex.join(["gdjax", *argv])
                config = runs.config_of(job, dataset, parts, self.split, self.data, given, command)
                recording = stack.enter_context(runs.Recording(draft, config, self.tensorboard))
            result = execute(job, parts, recording, self.quiet)
            scores = {name: objective.scores(result.params, rows) for name, rows in parts.by_name().items()}
            made = pictures(job, dataset, parts, result)
            runs.finish_run(draft.place, numbers(result, scores), result.params, parts.scalings, made)
        if not self.quiet:
            print(describe_run(folder, job, dataset, parts, result, scores))
        if runs.went_wrong(result):
            hint = "try a smaller --learning-rate or --clip 1"
            print(f"gdjax: the run ended {result.stop.name}: {hint}", file=sys.stderr)
            return 1
        return INTERRUPTED if result.stop.name == "INTERRUPTED" else 0

    def _settings(self) -> runs.Settings:
        asked = {field.name: getattr(self, field.name) for field in dataclasses.fields(OptimizerRequest)}
        asked["optimizer"] = self.optimizer or (OPTIMIZER if self.weight_decay is None else "adam")
        names = [field.name for field in dataclasses.fields(runs.Settings) if field.name != "optimizer"]
        return runs.Settings(OptimizerRequest(**asked), **{name: getattr(self, name) for name in names})


def next_folder(data: str) -> Path:
    """The first folder runs/<data>-<n> that does not exist."""
    return next(path for n in itertools.count(1) if not (path := Path("runs") / f"{Path(data).stem}-{n}").exists())


def execute(job: runs.Job, parts: tasks.Parts, recording: runs.Recording, quiet: bool) -> Any:
    """Run the job and record it, with a progress bar."""
    prepared = runs.prepare(job, parts)
    total = job.evaluations(len(parts.train[0]))
    off = True if quiet else None  # None: where stderr is no terminal
    with tqdm(total=total, unit=" evaluations", disable=off, file=sys.stderr, leave=False) as bar:
        for run_state in prepared.segments():
            recording.take(run_state)
            done, numbers = runs.progress(run_state, job.objective.metric)
            bar.set_postfix({name: f"{value:.4g}" for name, value in numbers.items()}, refresh=False)
            bar.update(done - bar.n)
    return prepared.result()
