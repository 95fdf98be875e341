"""`gdjax train`: trains a model on a table or a text and writes a run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sys
from typing import Any

from tqdm import tqdm

from gdjax import processes, runs
from gdjax.cli.device import use_device, use_devices
from gdjax.cli.errors import one_line, option_mistakes, user_mistakes
from gdjax.cli.options import Options
from gdjax.cli.ranks import join, say
from gdjax.cli.resume import complete
from gdjax.cli.signals import Termination, noting

NAMES = {field.name for field in dataclasses.fields(Options)}


@dataclasses.dataclass(frozen=True)
class Train(Options):
    """Train a model on a table or a text and write a run folder: config, metrics, result, parameters, pictures, report."""

    def run(self, argv: list[str]) -> int:
        options = complete(self)
        use_devices(options.devices)
        with contextlib.ExitStack() as stack:
            stack.enter_context(processes.one_fate())
            join()
            use_device(options.device, options.dtype, options.deterministic)
            options = dataclasses.replace(options, quiet=options.quiet or processes.index() > 0)
            return options._train(stack, shlex.join(["gdjax", *argv]))

    def _train(self, stack: contextlib.ExitStack, command: str) -> int:
        bar = stack.enter_context(self._bar())
        with option_mistakes(NAMES):
            training = stack.enter_context(
                runs.Training(self.data, self.without_data(), command, lambda said: bar.set_description_str(said))
            )
        if training.end is not None:
            say(f"{training.folder} is finished, it ended {training.end}: it is left as it is")
            return int(runs.went_wrong(training.end))
        with user_mistakes():
            self._tell(training.fitting)
        for remark in training.recording.remarks:
            say(f"gdjax: {remark}", sys.stderr)
        try:
            return self._finish(training, execute(training, bar), bar)
        except (KeyboardInterrupt, Termination) as error:
            if not training.draft.has_appeared:
                raise
            say(f"gdjax: {training.recording.last_words()}", sys.stderr)
            code = 130 if isinstance(error, KeyboardInterrupt) else 143
            processes.fail("a signal has ended it", code)
            return code

    def _tell(self, fitting: Any) -> None:
        """Print what is asked of the run before its first step; where the backend does not tell it, say so, and go on."""
        for asked, find in ((self.memory, fitting.memory), (self.explain, fitting.explain)):
            try:
                if asked:
                    say(str(find()))
            except NotImplementedError as error:
                say(f"gdjax: {one_line(error)}", sys.stderr)

    def begin(self, command: str, before: runs.RunConfig) -> runs.Work | runs.LanguageWork:
        """The run of these options as it was chosen before, checked before its first step."""
        return runs.begin(self.data, self.without_data(), command, before)

    def _bar(self) -> tqdm:
        off = True if self.quiet else None  # None: where stderr is no terminal
        return tqdm(total=0, unit=" evaluations", disable=off, file=sys.stderr, leave=False)

    def _finish(self, training: runs.Training, signals: list[int], bar: tqdm) -> int:
        """Write the results, and tell how the run has ended."""
        result = training.finish()
        bar.close()
        if not self.quiet:
            print(training.words)
        if training.alarm and not self.quiet:
            print(f"gdjax: {training.alarm}", file=sys.stderr)
        if runs.went_wrong(result.stop.name):
            say(f"gdjax: the run ended {result.stop.name}: {training.advice()}", sys.stderr)
            return 1
        if result.stop.name != "INTERRUPTED":
            return 0
        say(f"gdjax: {training.recording.last_words()}", sys.stderr)
        return 128 + signals[0]


def execute(training: runs.Training, bar: Any) -> list[int]:
    """Run the job and record it, with a progress bar; return the signals that have come."""
    job = training.work.job
    bar.total = job.evaluations(training.config.data.rows["train"])
    with noting(training.recording.abandon) as signals:
        for run_state in training.segments(signals):
            done, numbers = runs.progress(run_state, job.objective.metric)
            bar.set_postfix({name: f"{value:.4g}" for name, value in numbers.items()}, refresh=False)
            bar.update(done - bar.n)
    return signals
