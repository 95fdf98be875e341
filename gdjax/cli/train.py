"""`gdjax train`: trains a model on a table and writes a run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sys

from tqdm import tqdm

from gdjax import runs, tasks
from gdjax.cli.device import use_device
from gdjax.cli.errors import option_mistakes, user_mistakes
from gdjax.cli.options import Options
from gdjax.cli.resume import complete
from gdjax.cli.signals import Termination, noting
from gdjax.data import load
from gdjax.optimizers.request import OptimizerRequest
from gdjax.runs.report import describe_run, numbers, pictures

OPTIMIZER = "adamw(weight_decay=1.0)"  # the default; adam if a decay is given
NAMES = {field.name for field in dataclasses.fields(Options)}


@dataclasses.dataclass(frozen=True)
class Train(Options):
    """Train a model on a data set and write a run folder: config, metrics, result, parameters, pictures."""

    def run(self, argv: list[str]) -> int:
        options = complete(self)
        use_device(options.device, options.dtype, options.deterministic)
        with contextlib.ExitStack() as stack:
            return options._train(stack, shlex.join(["gdjax", *argv]))

    def _train(self, stack: contextlib.ExitStack, command: str) -> int:
        folder = self.out or runs.next_folder(str(self.data))
        with option_mistakes(NAMES):
            cadence = runs.Cadence.read(self.checkpoint_every)
            draft = stack.enter_context(runs.open_folder(folder, self.overwrite, self.resume))
            work = self.choose(command)
            config, end = work.config, None
            if self.resume:
                config, end = runs.resumption(folder, config, self.allow_versions)
        if end is not None:
            print(f"{folder} is finished, it ended {end}: it is left as it is")
            return int(runs.went_wrong(end))
        fitting = runs.prepare(work.job, work.parts)
        with user_mistakes():
            if self.memory:
                print(fitting.memory())
            recording = runs.Recording(draft, config, fitting, cadence, self.tensorboard, self.resume)
        stack.enter_context(recording)
        for remark in recording.remarks:
            print(f"gdjax: {remark}", file=sys.stderr)
        try:
            signals = execute(work, recording, self.quiet)
            return self._finish(work, recording, signals)
        except (KeyboardInterrupt, Termination) as error:
            if not draft.has_appeared:
                raise
            print(f"gdjax: {recording.last_words()}", file=sys.stderr)
            return 130 if isinstance(error, KeyboardInterrupt) else 143

    def choose(self, command: str) -> runs.Work:
        """The run of these options, checked before its first step."""
        given = {name: getattr(self, name) for name in ("target", "task") if getattr(self, name) is not None}
        dataset = load(str(self.data), **given)
        parts = tasks.deal(dataset, self.split, self.seed, self.dtype)
        objective = tasks.choose(dataset, self.model, self.loss, self.hidden, self.activation)
        job = runs.plan(objective, parts, self._settings())
        config = runs.config_of(job, dataset, parts, self.split, str(self.data), given, command)
        return runs.Work(dataset, parts, job, config)

    def _settings(self) -> runs.Settings:
        asked = {field.name: getattr(self, field.name) for field in dataclasses.fields(OptimizerRequest)}
        asked["optimizer"] = self.optimizer or (OPTIMIZER if self.weight_decay is None else "adam")
        names = [field.name for field in dataclasses.fields(runs.Settings) if field.name != "optimizer"]
        return runs.Settings(OptimizerRequest(**asked), **{name: getattr(self, name) for name in names})

    def _finish(self, work: runs.Work, recording: runs.Recording, signals: list[int]) -> int:
        """Write the results, and tell how the run has ended."""
        result, objective, place = recording.fitting.result(), work.job.objective, recording.draft.path
        recording.draft.appear()
        scores = {name: objective.scores(result.params, rows) for name, rows in work.parts.by_name().items()}
        said = {**numbers(result, scores), "resumed_at": recording.resumed}
        made = pictures(work.job, work.dataset, work.parts, result)
        runs.finish_run(place, said, result.params, work.parts.scalings, made)
        if not self.quiet:
            print(describe_run(place, work.job, work.dataset, work.parts, result, scores))
        if runs.went_wrong(result.stop.name):
            hint = runs.advise(place, work.config, recording.fitting)
            print(f"gdjax: the run ended {result.stop.name}: {hint}", file=sys.stderr)
            return 1
        if result.stop.name != "INTERRUPTED":
            return 0
        print(f"gdjax: {recording.last_words()}", file=sys.stderr)
        return 128 + signals[0]


def execute(work: runs.Work, recording: runs.Recording, quiet: bool) -> list[int]:
    """Run the job and record it, with a progress bar; return the signals that have come."""
    fitting, total = recording.fitting, work.job.evaluations(len(work.parts.train[0]))
    off = True if quiet else None  # None: where stderr is no terminal
    bar = tqdm(total=total, unit=" evaluations", disable=off, file=sys.stderr, leave=False)
    with noting(recording.abandon) as signals, bar:
        for run_state in fitting.segments(signals=signals, **recording.cadence.segments):
            recording.take(run_state)
            done, numbers = runs.progress(run_state, work.job.objective.metric)
            bar.set_postfix({name: f"{value:.4g}" for name, value in numbers.items()}, refresh=False)
            bar.update(done - bar.n)
        recording.end()
    return signals
