"""What a run leaves in its folder while it goes on."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from gdjax.files import write_whole
from gdjax.runs.config import RunConfig
from gdjax.runs.folder import Draft
from gdjax.runs.json_text import to_text
from gdjax.runs.records import Records
from gdjax.runs.tensorboard import TensorBoard
from gdjax.types import RunState


class Recording:
    """config.json from the start, and metrics.jsonl with the evaluations so far; the folder appears after the first segment.

        with Recording(draft, config) as recording:
            for run_state in fitting.segments():
                recording.take(run_state)

    Args:
        tensorboard: whether to write them for TensorBoard too.
    """

    def __init__(self, draft: Draft, config: RunConfig, tensorboard: bool = False) -> None:
        self.draft, self.began = draft, time.perf_counter()
        write_whole(draft.place / "config.json", to_text(config.to_json()))
        with contextlib.ExitStack() as stack:
            self.records = stack.enter_context(Records(draft.place / "metrics.jsonl"))
            self.board = stack.enter_context(TensorBoard(draft.place / "tensorboard")) if tensorboard else None
            self._open = stack.pop_all()

    def take(self, run_state: RunState) -> None:
        """Record what has come since the last call."""
        self.records.append(run_state.history, time.perf_counter() - self.began)
        if self.board is not None:
            self.board.log(run_state)
        self.draft.appear()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: Any) -> None:
        self._open.close()
