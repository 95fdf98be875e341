"""The evaluations of a run as a file of events for TensorBoard, by tensorboardX (the extra `track`)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from gdjax.types import RunState


class TensorBoard:
    """A logger for the body of a loop over `segments`; every scalar of the history is a curve over the steps.

        with gd.runs.TensorBoard("runs/first") as board:
            for run_state in gd.segments(run, run_state, data, validation, until=100):
                board.log(run_state)

    Training and validation share a panel: loss/training, loss/validation. What is already in the folder stays; of a run that
    is resumed, the evaluations since `resumed_at` are hidden, since they come again.

    Args:
        folder: made if it is not there; `tensorboard --logdir folder` shows it.
        resumed_at: the RunState that a resumed run goes on from.

    Raises: ImportError where tensorboardX is missing.
    """

    logged: int

    def __init__(self, folder: str | os.PathLike[str], resumed_at: RunState | None = None) -> None:
        try:
            from tensorboardX import event_file_writer, summary
            from tensorboardX.proto import event_pb2
        except ImportError as error:
            raise ImportError("TensorBoard: needs tensorboardX; pip install 'gdjax[track]'") from error
        self._scalar, self._format = summary.scalar, event_pb2
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._writer = event_file_writer.EventsWriter(str(Path(folder) / "events"), f".{os.getpid()}.{time.time_ns()}")
        self.logged = 0  # evaluations
        if resumed_at is not None:
            self.logged = int(resumed_at.evaluations)
            self._purge(int(resumed_at.state.step) + 1)

    def log(self, run_state: RunState) -> None:
        """Write the evaluations since the last call."""
        done = int(run_state.evaluations)
        columns = {name: np.asarray(x) for name, x in run_state.history.items() if np.ndim(x) == 1}
        for i in range(self.logged, done):
            row = {
                name: column[i % len(column)] for name, column in columns.items()
            }  # a history on the device is a ring
            step = int(row["step"])
            values = [self._scalar(_tag(name), float(x)).value[0] for name, x in row.items() if name != "step"]
            event = self._format.Event(wall_time=time.time(), step=step)
            event.summary.value.extend(values)
            self._writer.write_event(event)
        self.logged = done
        self._writer.flush()

    def _purge(self, step: int) -> None:
        """Tell TensorBoard to hide what other files of the folder hold from this step on."""
        event = self._format.Event(wall_time=time.time(), step=step)
        event.session_log.status = self._format.SessionLog.START
        self._writer.write_event(event)

    def close(self) -> None:
        self._writer.close()

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _tag(name: str) -> str:
    """The name of a curve: those of one metric share a panel."""
    if name in ("epoch", "skipped") or name.startswith("learning_rate"):
        return name
    kept = name.removeprefix("validation_")
    return f"{kept}/{'training' if kept == name else 'validation'}"
