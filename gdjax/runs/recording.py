"""What a run leaves in its folder while it goes on: its configuration, its records, its checkpoints."""

from __future__ import annotations

import contextlib
import shlex
import warnings
from typing import Any

from gdjax import processes
from gdjax.files import write_whole
from gdjax.runs.cadence import Cadence
from gdjax.runs.compare import CHECKPOINTS
from gdjax.runs.config import RunConfig
from gdjax.runs.damage import RecordError
from gdjax.runs.folder import Draft
from gdjax.runs.json_text import to_text
from gdjax.runs.records import Records
from gdjax.runs.resuming import ENVIRONMENT, identity_of
from gdjax.runs.tensorboard import TensorBoard
from gdjax.training import Fitting
from gdjax.training.checkpoints import Checkpoints
from gdjax.types import RunState, Stop


class Recording:
    """The files of a run that goes on; its folder appears after the first segment.

        with Recording(draft, config, fitting, cadence) as recording:
            for run_state in fitting.segments(**cadence.segments):
                recording.take(run_state)
            recording.end()

    Args:
        draft: a new folder, or one with an unfinished run.
        fitting: the run before its first step; with `resume` it is that of the newest checkpoint afterwards.
        cadence: how often a checkpoint is saved.
        tensorboard: whether to write the evaluations for TensorBoard too.
        resume: whether to go on from the folder's newest checkpoint that verifies, or from the start if there is none.

    Raises: CheckpointError if there are checkpoints and none can be restored; nothing has changed on the disk then.
    """

    draft: Draft
    fitting: Fitting
    cadence: Cadence
    checkpoints: Checkpoints
    records: Records | None  # process 0 has them, as all that is not a part of a checkpoint
    board: TensorBoard | None

    def __init__(
        self,
        draft: Draft,
        config: RunConfig,
        fitting: Fitting,
        cadence: Cadence,
        tensorboard: bool = False,
        resume: bool = False,
    ) -> None:
        self.draft, self.fitting, self.cadence = draft, fitting, cadence
        self.saved: int | None = None  # the step of the newest checkpoint
        self.resumed: list[int] = []  # the steps at which the run went on
        self.remarks: list[str] = []  # on the checkpoint that was restored
        with contextlib.ExitStack() as stack:
            self.checkpoints = stack.enter_context(Checkpoints(draft.path / CHECKPOINTS, identity_of(config)))
            size = self._restore() if resume else 0
            self.records = self.board = None
            if processes.index() == 0:
                self._begin(stack, config, size, tensorboard, fitting.run_state if resume else None)
            self._open = stack.pop_all()
        cadence.last = fitting.clock

    def _begin(self, stack: contextlib.ExitStack, config: RunConfig, size: int, tensorboard: bool, start: Any) -> None:
        """Open the files of the folder, after so many bytes of records."""
        place, rows = self.draft.place, int(self.fitting.run_state.evaluations)
        self.records = stack.enter_context(Records(place / "metrics.jsonl", rows, size))
        (place / "result.json").unlink(missing_ok=True)  # of an interrupted run
        write_whole(place / "config.json", to_text(config.to_json()))
        if tensorboard:
            self.board = stack.enter_context(TensorBoard(place / "tensorboard", start))

    def _restore(self) -> int:
        """Let the run go on from the newest checkpoint that verifies; return the bytes of its records."""
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always")
            restored = self.checkpoints.restore(self.fitting.run_state, ignore=(*ENVIRONMENT, "platform"))
        self.remarks = [str(remark.message) for remark in remarks]
        if restored is None:
            self.remarks = [f"no checkpoint is in {self.draft.path}: the run begins at step 0"]
            return 0
        run_state, extra = restored
        if not isinstance(extra, dict) or not {"metrics_bytes", "seconds", "compile_seconds", "resumed"} <= set(extra):
            raise RecordError(f"{self.draft.path / CHECKPOINTS} must hold checkpoints of `gdjax train`, got another's")
        self.fitting.go_on_from(run_state, extra["seconds"], extra["compile_seconds"])
        self.saved = int(run_state.state.batches)
        self.resumed = [*extra["resumed"], self.saved]
        return extra["metrics_bytes"]

    def take(self, run_state: RunState) -> None:
        """Record what has come since the last call, and save a checkpoint if one is due."""
        if self.records is not None:
            self.records.append(run_state.history, self.fitting.clock)
        if self.board is not None:
            self.board.log(run_state)
        self.draft.appear()
        if self.cadence.is_due(int(run_state.state.batches), self.fitting.clock):
            self.save(run_state)

    def save(self, run_state: RunState) -> None:
        """Save a checkpoint, unless there is one of this step."""
        self.cadence.last = self.fitting.clock
        step = int(run_state.state.batches)
        if step == self.saved:
            return
        if self.records is not None:
            self.records.sync()
        extra = {
            "metrics_bytes": 0 if self.records is None else self.records.size,
            "seconds": self.fitting.seconds,
            "compile_seconds": self.fitting.compile_seconds,
            "resumed": self.resumed,
        }
        self.checkpoints.save(run_state, extra)
        self.saved = step

    def end(self) -> None:
        """Save the last state of a run that was interrupted, or that has saved others, and wait until it is on the disk."""
        run_state = self.fitting.run_state
        if self.saved is not None or int(run_state.stop) == Stop.INTERRUPTED:
            self.save(run_state)
        self.checkpoints.close()

    def last_words(self) -> str:
        """How an interrupted run goes on."""
        newest = -1 if self.saved is None else self.saved  # which may still be being written
        there = [step for step in self.checkpoints.steps if step <= newest]
        kept = f"step {there[-1]}" if there else "nothing"
        return f"INTERRUPTED, {kept} is saved; gdjax train --resume --out {shlex.quote(str(self.draft.path))} goes on"

    def abandon(self) -> str:
        """Remove what nobody has seen yet, since the process ends here; return what is to be said."""
        self.draft.remove()
        return self.last_words() if self.draft.has_appeared else "interrupted, nothing written"

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *raised: Any) -> None:
        self._open.__exit__(*raised)
