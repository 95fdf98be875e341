"""A training run from a table to its folder: what `gdjax train` does, and `gd.runs.train`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from gdjax.runs.arrays import Kept
from gdjax.runs.assessment._assess import Assessment, assess
from gdjax.runs.assessment.page import render
from gdjax.runs.cadence import Cadence
from gdjax.runs.config import RunConfig
from gdjax.runs.defaults import Choice
from gdjax.runs.failure import advise
from gdjax.runs.folder import Draft, LoadedRun, finish_run, load, next_folder, open_folder, read_config
from gdjax.runs.intervals import Calibration, Folds, calibrate, train_folds
from gdjax.runs.job import prepare, result_of, went_wrong
from gdjax.runs.options import TrainOptions
from gdjax.runs.recording import Recording
from gdjax.runs.report import Scores, describe_run, numbers, pictures
from gdjax.runs.resuming import resumption
from gdjax.runs.scores import score
from gdjax.runs.work import Work, choose
from gdjax.training import Fitting, Result
from gdjax.types import RunState

Tell = Callable[[str], None]


class Training:
    """A run of `gdjax train` between its table and its folder; the parts of `train`.

        with Training(data, options, command) as training:
            for run_state in training.segments():
                ...
            training.finish()

    Args:
        data: as for `train`.
        command: the words that repeat it.
        tell: called with a few words on what is being done before the run, and after it.

    Raises: ValueError, in one line, for a table, an option or a folder that cannot be used.
    """

    options: TrainOptions
    tell: Tell
    folder: Path
    end: str | None
    words: str
    alarm: str
    draft: Draft
    work: Work
    config: RunConfig
    fitting: Fitting
    recording: Recording

    def __init__(self, data: Any, options: TrainOptions, command: str, tell: Tell = lambda _: None) -> None:
        self.options, self.tell = options, tell
        self.folder = options.out or next_folder(_name(data))
        self.end: str | None = None  # of a run that is finished already
        self.words = ""  # what is said at the end
        self.alarm = ""  # what must not be overlooked: the run is no better than no model, or has no intervals
        with contextlib.ExitStack() as stack:
            cadence = Cadence.read(options.checkpoint_every)
            self.draft = stack.enter_context(open_folder(self.folder, options.overwrite, options.resume))
            self.work = choose(data, options, command, self._chosen(), tell)
            config = self.work.config
            if options.resume:
                config, self.end = resumption(self.folder, config, options.allow_versions)
            self.config = config
            self.fitting = prepare(self.work.job, self.work.parts)
            if self.end is None:
                args = self.draft, config, self.fitting, cadence, options.tensorboard, options.resume
                self.recording = stack.enter_context(Recording(*args))
            self._open = stack.pop_all()

    def _chosen(self) -> Choice | None:
        """What the run that goes on has chosen."""
        if not self.options.resume:
            return None
        config = read_config(self.folder)
        return Choice(config.data.numbers, config.weight_decay)

    def segments(self, signals: list[int] | None = None) -> Iterator[RunState]:
        """Run and record; the state after each segment."""
        for run_state in self.fitting.segments(signals=signals, **self.recording.cadence.segments):
            self.recording.take(run_state)
            yield run_state
        self.recording.end()

    def finish(self) -> Result:
        """Set the intervals, write the results, and return them."""
        work, result, options = self.work, result_of(self.work.job, self.fitting), self.options
        good = result.stop.name != "INTERRUPTED" and not went_wrong(result.stop.name)
        intervals, held_out = self._calibrate(result) if good else (None, None)
        self.recording.draft.appear()
        place = self.recording.draft.path
        scores = {name: work.job.objective.scores(result.params, rows) for name, rows in work.parts.by_name().items()}
        said = {**numbers(result, scores), "resumed_at": self.recording.resumed}
        said["cross_validation"] = held_out
        said["trials"] = [trial._asdict() for trial in work.trials]
        kept, drawn = Kept(result.params, work.parts.target, intervals), pictures(work, result)
        found, html = self._assess(place, result, kept, drawn, scores) if good else (None, None)
        said["assessment"] = None if found is None else found.to_json()
        finish_run(place, said, kept, work.encoding, drawn, html)
        self.alarm = "; ".join(said for said in (self.alarm, found.alarm if found else "") if said)
        self.words = "" if options.quiet else describe_run(place, work, result, scores, found, held_out)
        return result

    def _assess(
        self, place: Path, result: Result, kept: Kept, drawn: dict[str, Any], scores: Scores
    ) -> tuple[Assessment | None, str | None]:
        """How good the run is, and the page that tells it."""
        work = self.work
        run = LoadedRun(place, work.config, {}, [], work.job.objective.model, kept.params, work.encoding, *kept[1:])
        found = assess(work, run, result, self.options, self.tell)
        return found, render(place, work, result, found, drawn, scores)

    def _calibrate(self, result: Result) -> tuple[Calibration | Folds | None, dict[str, Any] | None]:
        """The intervals of a regression, and the scores of the rows held out, where there are folds."""
        work = self.work
        is_regression = work.subject.task == "regression"
        if work.config.folds:
            fold = work.problem.folds(work.config.folds, self.options)
            held_out = train_folds(work.job_of, work.parts, fold, self.tell)
            if held_out is None:
                self.alarm = (
                    "a run without one of the folds went wrong: there are no intervals, and no scores of the folds"
                )
                return None, None
            scores = held_out.scores(lambda outputs, y: score(work.config, outputs, y))
            return held_out.intervals() if is_regression else None, scores
        has_rows = is_regression and len(work.parts.calibration[0])
        return calibrate(work.job, result.params, work.parts) if has_rows else None, None

    def advice(self) -> str:
        """What to do after a run that has gone wrong."""
        return advise(self.recording.draft.path, self.config, self.fitting)

    def __enter__(self) -> Training:
        return self

    def __exit__(self, *raised: Any) -> None:
        self._open.__exit__(*raised)


def train(data: Any, target: str | None = None, out: Any = None, **options: Any) -> LoadedRun:
    """Train a model on a table, as `gdjax train` does, and return the run that is kept in a folder.

    Args:
        data: a data frame, a path, the name of a data set, a `Dataset` or a `Table`.
        target: the column to predict (default: the last).
        out: the run folder (default: runs/<name>-<n>).
        **options: those of `gdjax train`, such as `model`, `epochs`, `group`, `seed`, by their names.

    Raises:
        ValueError: in one line, for a table or an option that cannot be used.
        TypeError: for an option that does not exist.
        RuntimeError: the run has ended NON_FINITE or DIVERGED; the folder holds what is known of it.

    >>> run = gd.runs.train("wine", epochs=5, tune="none", quick=True, out="wine-run")
    >>> print(run.config.model, len(run.predict(gd.runs.table_of(gd.data.load("wine")))))
    ensemble(mlp((13, 128, 64, 3)), 4, average='softmax') 178
    """
    read = TrainOptions.named("train", {**options, "target": target, "out": out})
    _check_for_python(read)
    with Training(data, read, command_of(data, read)) as training:
        if training.end is None:
            for _ in training.segments():
                pass
            result = training.finish()
            for remark in (*training.recording.remarks, training.alarm):
                if remark:
                    warnings.warn(remark, stacklevel=2)
            if went_wrong(result.stop.name):
                raise RuntimeError(f"train: the run ended {result.stop.name}: {training.advice()}")
        return load(training.folder)


def _check_for_python(options: TrainOptions) -> None:
    """Raise ValueError for what only the process as a whole can do, and the command line does."""
    if options.dtype == "float64" and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ValueError("train: `dtype=float64` needs jax.config.update('jax_enable_x64', True) first")
    instead = {
        "device": "write with jax.default_device(jax.devices(...)[0])",
        "deterministic": "set XLA_FLAGS=--xla_gpu_deterministic_ops=true before JAX starts",
        "memory": "it prints",
    }
    for name, how in instead.items():
        if getattr(options, name):
            raise ValueError(f"train: `{name}` is of the command line; {how}")


def _name(data: Any) -> str:
    """What the folder of a run on the data is called by."""
    name = os.fspath(data) if isinstance(data, (str, os.PathLike)) else getattr(data, "name", None)
    return name if isinstance(name, str) and name != "-" else "table"


def command_of(data: Any, options: TrainOptions) -> str:
    """The words of the command line that repeat a run."""
    words = ["gdjax", "train", str(data) if isinstance(data, (str, os.PathLike)) else "FRAME.csv"]
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            name = field.name.replace("_", "-")
            words += [f"--{'' if value is not False else 'no-'}{name}"]
            words += [] if isinstance(value, bool) else map(str, value) if isinstance(value, tuple) else [str(value)]
    return shlex.join(words)
