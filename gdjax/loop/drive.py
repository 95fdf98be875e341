"""The host's side of a run: compiled segments, and between them the clock, the signals and the progress."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.loop.run import Run
from gdjax.programs import compiled
from gdjax.types import RunState, Stop

SEGMENT_SECONDS = 0.2  # between two looks of the host; the bits do not depend on it


@dataclasses.dataclass
class Driver:
    """Calls a compiled run segment by segment; between two the host looks at the clock, the signals, the progress."""

    data: Any
    validation: Any
    progress: Callable[[RunState], None] | None
    began: float
    compile_seconds: float = 0.0
    interrupted: bool = False

    def drive(self, run: Run, run_state: RunState, until: int) -> RunState:
        """run_state after `until` evaluations, or where its rule stopped it."""
        program = compiled(run, donate=(0,))
        done = int(run_state.evaluations)
        if done >= until or int(run_state.stop) != Stop.RUNNING:
            return run_state
        before = time.perf_counter()
        run_state = jax.block_until_ready(
            program(run_state, self.data, self.validation, done, 0.0)
        )  # compiles, runs nothing
        self.compile_seconds += time.perf_counter() - before
        length = 1
        while done < until and int(run_state.stop) == Stop.RUNNING:
            before = time.perf_counter()
            target = min(done + length, until)
            run_state = program(run_state, self.data, self.validation, target, before - self.began)
            done = int(run_state.evaluations)
            length = _next_length(length, time.perf_counter() - before)
            if self.progress is not None:
                self.progress(run_state)
            if self.interrupted and int(run_state.stop) == Stop.RUNNING:
                run_state = run_state._replace(stop=jnp.array(np.int32(Stop.INTERRUPTED)))
        return run_state

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Ctrl-C sets a flag for the next segment boundary; the second one raises as always."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number, frame):
            self.interrupted = True
            signal.signal(signal.SIGINT, previous)

        previous = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)


def _next_length(length: int, seconds: float) -> int:
    return max(1, min(2 * length, int(length * SEGMENT_SECONDS / max(seconds, 1e-9))))
