"""A training run from its data to its folder: what `gdjax train` does, and `gd.runs.train`."""

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

from gdjax import processes
from gdjax.runs.beginning import begin
from gdjax.runs.cadence import Cadence
from gdjax.runs.config import RunConfig
from gdjax.runs.failure import advise
from gdjax.runs.folder import Draft, LoadedRun, finish_run, load, next_folder, open_folder, read_config
from gdjax.runs.job import prepare, result_of, went_wrong
from gdjax.runs.language.loaded import LoadedText
from gdjax.runs.language.work import LanguageWork
from gdjax.runs.options import TrainOptions
from gdjax.runs.recording import Recording
from gdjax.runs.report import numbers
from gdjax.runs.resuming import check_alike, resumption
from gdjax.runs.topology import placement_of, remarks_on
from gdjax.runs.work import Work
from gdjax.training import Fitting, Result
from gdjax.training.together import Alone, everyone
from gdjax.types import RunState

Tell = Callable[[str], None]


class Training:
    """A run of `gdjax train` between its data and its folder; the parts of `train`.

        with Training(data, options, command) as training:
            for run_state in training.segments():
                ...
            training.finish()

    Args:
        data: as for `train`.
        command: the words that repeat it.
        tell: called with a few words on what is being done before the run, and after it.

    Raises: ValueError, in one line, for data, an option or a folder that cannot be used.
    """

    options: TrainOptions
    tell: Tell
    folder: Path
    end: str | None
    words: str
    alarm: str
    together: Alone  # the processes of the run
    draft: Draft
    work: Work | LanguageWork
    config: RunConfig
    fitting: Fitting
    recording: Recording

    def __init__(self, data: Any, options: TrainOptions, command: str, tell: Tell = lambda _: None) -> None:
        self.options, self.tell, self.together = options, tell, everyone()
        jax.devices()  # JAX starts in all processes at once: it waits for the others, who may soon wait for process 0
        placement = placement_of(options)
        self.folder = Path(self.together.tell(lambda: str(options.out or next_folder(name_of(data)))))
        self.end: str | None = None  # of a run that is finished already
        self.words = ""  # what is said at the end
        self.alarm = ""  # what must not be overlooked: the run is no better than no model, or has no intervals
        with contextlib.ExitStack() as stack:
            cadence = Cadence.read(options.checkpoint_every)
            self.draft = Draft(self.folder, self.folder)
            if self.together.index == 0:
                self.draft = stack.enter_context(open_folder(self.folder, options.overwrite, options.resume))
            before = read_config(self.folder) if options.resume else None
            self.work = begin(data, options, command, before, tell)
            self.config, self.end = self._agree(self.work.config)
            self.fitting = prepare(self.work.job, self.work.parts, placement)
            if self.end is None:
                args = self.draft, self.config, self.fitting, cadence, options.tensorboard, options.resume
                self.recording = stack.enter_context(Recording(*args))
                self.recording.remarks += remarks_on(before, self.config) if before else []
            self._open = stack.pop_all()

    def _agree(self, config: RunConfig) -> tuple[RunConfig, str | None]:
        """The configuration with which the run begins or goes on, which process 0 says; and why it is finished, or None."""
        check_alike(self.together, config)
        if not self.options.resume:
            return config, None
        found = lambda: resumption(self.folder, config, self.options.allow_versions)  # noqa: E731
        said, end = self.together.tell(lambda: [(pair := found())[0].to_json(), pair[1]])
        return RunConfig.from_json(said), end

    def segments(self, signals: list[int] | None = None) -> Iterator[RunState]:
        """Run and record; the state after each segment."""
        for run_state in self.fitting.segments(signals=signals, **self.recording.cadence.segments):
            self.recording.take(run_state)
            yield run_state
        self.recording.end()

    def finish(self) -> Result:
        """Judge the run, write the results, and return them; process 0 does it, on one device, and the others wait."""
        result = result_of(self.work.job, self.fitting)
        self.together.tell(lambda: self._finish(result))
        return result

    def _finish(self, result: Result) -> None:
        self.recording.draft.appear()
        place = self.recording.draft.path
        ending = self.work.end(place, result, self.options, self.tell)
        said = {**numbers(result), "resumed_at": self.recording.resumed, **ending.numbers}
        finish_run(place, said, ending.kept, ending.encoding, ending.pictures, ending.page)
        self.alarm = ending.alarm
        files = f"{place}: {', '.join(sorted(path.name for path in place.iterdir()))}"
        self.words = "" if self.options.quiet else f"{ending.words}\n{files}"

    def advice(self) -> str:
        """What to do after a run that has gone wrong."""
        return advise(self.recording.draft.path, self.config, self.fitting)

    def __enter__(self) -> Training:
        return self

    def __exit__(self, *raised: Any) -> None:
        self._open.__exit__(*raised)


def train(data: Any, target: str | None = None, out: Any = None, **options: Any) -> LoadedRun | LoadedText:
    """Train a model on a table or a text, as `gdjax train` does, and return the run that is kept in a folder.

    Args:
        data: a data frame, a path, the name of a data set, a `Dataset` or a `Table`; with model="transformer" or "gru" the
            path or the name of a text, such as "python-docs".
        target: of a table, the column to predict (default: the last).
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
    with processes.one_fate(), Training(data, read, command_of(data, read)) as training:
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
        "explain": "it prints; write gd.explain_placement(...)",
    }
    for name, how in instead.items():
        if getattr(options, name):
            raise ValueError(f"train: `{name}` is of the command line; {how}")


def name_of(data: Any) -> str:
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
