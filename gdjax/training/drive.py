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

from gdjax.programs import compiled
from gdjax.training.run import RING, Run
from gdjax.types import RunState, Stop

SEGMENT_SECONDS = 0.2  # between two looks of the host; the bits do not depend on it


class History:
    """The rows of all evaluations on the host, name -> (evaluations, ...); taken from the device's ring as they come."""

    def __init__(self, run_state: RunState):
        self.done = 0
        self.columns: dict[str, Any] = {
            name: np.zeros((RING, *x.shape[1:]), x.dtype) for name, x in run_state.history.items()
        }
        self.take(run_state)

    def take(self, run_state: RunState) -> None:
        """The rows since the last time, at most as many as the ring holds."""
        done = int(run_state.evaluations)
        self._make_room(done)
        for name, ring in jax.device_get(run_state.history).items():
            rows = np.arange(max(self.done, done - len(ring)), done)
            self.columns[name][rows] = ring[rows % len(ring)]
        self.done = done

    def rows(self) -> dict[str, np.ndarray]:
        return {name: column[: self.done] for name, column in self.columns.items()}

    def _make_room(self, done: int) -> None:
        for name, column in self.columns.items():
            if len(column) < done:  # twice the room, so that n rows are copied O(n) times in all
                larger = np.zeros((2 * done, *column.shape[1:]), column.dtype)
                larger[: self.done] = column[: self.done]
                self.columns[name] = larger


@dataclasses.dataclass
class Driver:
    """Calls a compiled run segment by segment; between two the host looks at the clock, the signals, the progress."""

    data: Any
    validation: Any
    progress: Callable[[RunState], None] | None
    began: float
    compile_seconds: float = 0.0
    interrupted: bool = False

    def drive(self, run: Run, run_state: RunState, until: int, steps: int) -> RunState:
        """run_state after `until` evaluations `steps` apart, or where it stopped, with the whole history as NumPy.

        A number of evaluations is no shape: the device has a ring of `RING` rows, which a segment does not outrun.
        """
        program = compiled(run, donate=(0,))
        history = History(run_state)
        done = history.done
        if done >= until or int(run_state.stop) != Stop.RUNNING:
            return run_state._replace(history=history.rows())
        ring = {name: jnp.zeros((RING, *x.shape[1:]), x.dtype) for name, x in run_state.history.items()}
        before = time.perf_counter()
        call = lambda state, target, at: program(  # noqa: E731
            state, self.data, self.validation, np.int32(target), np.float32(at), np.int32(steps)
        )
        run_state = jax.block_until_ready(call(run_state._replace(history=ring), done, 0.0))  # compiles, runs nothing
        self.compile_seconds += time.perf_counter() - before
        length = 1
        while done < until and int(run_state.stop) == Stop.RUNNING:
            before = time.perf_counter()
            run_state = call(run_state, min(done + min(length, RING), until), before - self.began)
            history.take(run_state)
            done = history.done
            length = _next_length(length, time.perf_counter() - before)
            if self.progress is not None:
                self.progress(run_state._replace(history=history.rows()))
            if self.interrupted and int(run_state.stop) == Stop.RUNNING:
                run_state = run_state._replace(stop=jnp.array(np.int32(Stop.INTERRUPTED)))
        return run_state._replace(history=history.rows())

    def look(self, run: Run, run_state: RunState) -> RunState:
        """run_state after an evaluation without a step before it, by the program of the run; run_state is donated."""
        program = compiled(run, donate=(0,))
        return program(run_state, self.data, self.validation, np.int32(1), np.float32(0), np.int32(0))

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
