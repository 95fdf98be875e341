"""The host's loop over a run: compiled segments, between which the caller's code runs."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.domain import as_length
from gdjax.training.arguments import error_context
from gdjax.training.epoch import Epoch
from gdjax.training.feeds import Feed, as_data, as_validation
from gdjax.training.reading import ANY, Reading
from gdjax.training.run import RING, Run
from gdjax.training.together import Alone, processes_of
from gdjax.types import RunState, Stop

FIRST = 64  # batches of the first segment at most, before it is known how long they take
SEGMENT_SECONDS = 0.2  # target duration of a segment; results do not depend on it


def segments(
    run: Run,
    run_state: RunState,
    data: Any,
    validation: Any = None,
    until: int = 100,
    every: int | None = None,
    keep: bool = True,
    *,
    batches: int | None = None,
    seconds: float = SEGMENT_SECONDS,
    elapsed: float = 0.0,
) -> Iterator[RunState]:
    """Run in compiled segments: a generator of the RunState after each, so that the body of a loop is the callback.

        for run_state in segments(run, start_run(run, state, stop, data, validation), data, validation, until=100):
            print(run_state.evaluations, run_state.history["validation_loss"][-1])  # or save it, or draw it, or break

    The result does not depend on where segments end: a run continued from any yielded RunState, in this loop or in another,
    equals to the last bit one that never stopped. So the loop may be left, and nothing is lost if its body raises.

    Args:
        run: a run of `make_run`.
        run_state: the state of `start_run`, or one that was yielded before.
        data, validation: as for `fit`: pytrees of arrays that share their leading axis; the data may also be a `Source` or a
            loader of batches. A segment that ends while such data are read ahead gives the same results.
        until: total number of evaluations at which the loop ends, if the condition in run_state has not ended it before.
        every: batches between evaluations; another number compiles nothing (default: the steps of `make_epoch`).
        keep: True yields states that may be kept, and holds two of them in memory. With False each state, the given one
            included, is donated to the next segment and valid only in the body of the loop; the last one stays valid.
        batches: a segment may also end within a period, wherever the number of batches read is a multiple of this; with 1,
            anywhere. None ends segments at evaluations alone.
        seconds: target duration of a segment, which has at least one evaluation, or `batches`; 0 yields at each of them.
        elapsed: wall-clock seconds that the run has used before, for `stopping.budget(seconds=...)`.

    Yields: a RunState after every segment, with the history of all evaluations so far as NumPy, name -> (evaluations, ...).
        Nothing is yielded if the run has already ended; one that was INTERRUPTED goes on.

    >>> step = gd.make_step(lambda w, rows: jnp.mean((w - rows) ** 2))
    >>> run = gd.make_run(gd.make_epoch(step, batch_size=1, order="sequence"))
    >>> state, data = gd.make_state(0.0, gd.sgd(0.25)), jnp.array([1.0, 3.0])
    >>> run_state = gd.start_run(run, state, gd.stopping.never(), data, None)
    >>> for run_state in gd.segments(run, run_state, data, until=2, seconds=0):
    ...     print(run_state.evaluations, run_state.history["loss"])
    1 [3.625]
    2 [3.625 1.6016]
    """
    if not isinstance(run_state, RunState):
        raise TypeError(
            f"segments: run_state must be what start_run returns, a result's run_state or one handed out before, got a "
            f"{type(run_state).__name__}"
        )
    every = None if every is None else as_length("segments", "every", every)
    batches = None if batches is None else as_length("segments", "batches", batches)
    until = as_length("segments", "until", until, least=0)
    data = as_data("segments", data, run.placement)
    validation = as_validation("segments", validation, run.placement)
    epoch = run.period.epoch
    with error_context("segments"):
        steps = every or epoch.steps or epoch.batches_per_epoch(data)
    within = batches is not None or isinstance(data, Feed) or int(run_state.taken)
    if epoch.scan is not jax.lax.scan and within:
        raise ValueError(
            "segments: a segment neither ends nor begins within an epoch whose scan is a Python loop, as batches, a Source, "
            "a loader or a run_state within a period need"
        )
    period = None if epoch.scan is not jax.lax.scan else steps  # the length of a Python loop cannot be traced
    pace = Pace(batches or steps or 1, within=batches is not None, seconds=seconds)
    pace.units = max(1, min(FIRST, steps or 1) // pace.unit) if seconds else 1
    program = run.compiled(donate=() if keep else (0,))
    together = processes_of(run_state, run.placement)
    reading = _reading(program, epoch, data, validation, until, together)
    began = time.perf_counter() - elapsed
    return _segments(reading, run.place, run_state, until, period, pace, began, together)


def _reading(
    program: Any, epoch: Epoch, data: Any, validation: Any, until: int, together: Alone
) -> contextlib.AbstractContextManager[Any]:
    """A context for a function (run_state, evaluations, seconds, period, batches) -> run_state, which reads these data."""
    if isinstance(data, Feed):
        return Reading(data, program, epoch, validation, until, together)

    def advance(run_state, evaluations, seconds, period, batches):
        within = [] if period is None else [np.int32(batches)]
        period = None if period is None else np.int32(period)
        return program(run_state, data, validation, np.int32(evaluations), seconds, period, *within)

    return contextlib.nullcontext(advance)


@dataclasses.dataclass
class Pace:
    """Where segments end, so that each takes about so many seconds."""

    unit: int  # batches of which a segment has a whole number
    within: bool  # whether it may end within a period
    seconds: float
    units: int = 1  # of the next segment

    def limits(self, evaluations: int, batches: int) -> tuple[int, int]:
        """The numbers of evaluations and of batches, since the very start, at which the next segment ends."""
        if not self.within:
            return evaluations + min(self.units, RING), ANY
        return evaluations + RING, min(ANY, (batches // self.unit + self.units) * self.unit)

    def measure(self, took: float) -> None:
        """Adapt to the seconds that a segment took."""
        self.units = max(1, min(2 * self.units, int(self.units * self.seconds / max(took, 1e-9))))


def _segments(reading, place, run_state, until, period, pace, began, together) -> Iterator[RunState]:
    if int(run_state.stop) == Stop.INTERRUPTED:
        run_state = run_state._replace(stop=jnp.array(np.int32(Stop.RUNNING)))
    history = History(run_state)
    if history.done >= until or int(run_state.stop) != Stop.RUNNING:
        return
    run_state = place(run_state._replace(history=rings(run_state)))
    with together.in_step(), reading as advance:
        while True:
            before, at = time.perf_counter(), (history.done, int(run_state.state.batches))
            most, batches, elapsed = together.lead(lambda now=before, at=at: [*pace.limits(*at), now - began])
            with error_context("segments"):
                run_state = advance(run_state, min(most, until), np.float32(elapsed), period, batches)
            history.take(run_state)
            ended = history.done >= until or int(run_state.stop) != Stop.RUNNING
            pace.measure(time.perf_counter() - before)
            yield run_state._replace(history=history.rows())
            if ended:
                return


def rings(run_state: RunState) -> dict[str, jax.Array]:
    """The state with a history of RING rows on the device, so that the length of the run is no shape."""
    history = run_state.history
    if all(isinstance(x, jax.Array) and len(x) == RING for x in history.values()):
        return history
    zeros = {name: np.zeros((RING, *x.shape[1:]), x.dtype) for name, x in history.items()}
    return tree.distinct_copy(jax.device_put(zeros))  # compiles nothing


class History:
    """The rows of all evaluations on the host, name -> (evaluations, ...), copied from the ring on the device."""

    def __init__(self, run_state: RunState):
        self.done = 0
        self.columns: dict[str, Any] = {
            name: np.full((RING, *x.shape[1:]), _nothing(x.dtype), x.dtype) for name, x in run_state.history.items()
        }
        self.take(run_state)

    def take(self, run_state: RunState) -> None:
        """Copy the rows since the last call, at most as many as the ring holds."""
        done, size = int(run_state.evaluations), min((len(ring) for ring in run_state.history.values()), default=0)
        self._make_room(done)
        rows = np.arange(max(self.done, done - size), done)
        places = rows % max(size, 1)
        for name, ring in run_state.history.items():
            self.columns[name][rows] = np.asarray(ring)[places]
        self.done = done

    def rows(self) -> dict[str, np.ndarray]:
        """Read-only views, which later rows do not change."""
        views = {name: column[: self.done] for name, column in self.columns.items()}
        for view in views.values():
            view.flags.writeable = False
        return views

    def _make_room(self, done: int) -> None:
        for name, column in self.columns.items():
            if len(column) < done:  # double the capacity, so that n rows cost O(n) copies
                larger = np.full((2 * done, *column.shape[1:]), _nothing(column.dtype), column.dtype)
                larger[: self.done] = column[: self.done]
                self.columns[name] = larger


def _nothing(dtype: Any) -> Any:
    """The value of an unknown row, which the ring had overwritten before the host read it."""
    return np.nan if jnp.issubdtype(dtype, jnp.inexact) else 0
