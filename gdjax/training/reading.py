"""The windows of a run over data that are not in memory: the next is gathered while the program runs on the present one."""

from __future__ import annotations

import concurrent.futures
import contextlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.training.feeds import Feed
from gdjax.training.staged import Staged
from gdjax.training.together import ALONE, Alone
from gdjax.types import RunState, Stop

FIRST, SECONDS = 8, 0.2  # batches of the first window, and the duration that windows grow to
ANY = np.iinfo(np.int32).max  # of a limit that is none


class Reading:
    """The windows of a run, each of which is gathered in a thread while the program runs on the one before.

    A context for a function (run_state, evaluations, seconds, period, batches) -> run_state, which advances to one of these
    limits by as many windows as it takes; period is None if it is a pass whose length is not known yet.
    """

    feed: Feed
    program: Any
    epoch: Any
    validation: Any
    until: int
    together: Alone

    def __init__(self, feed: Feed, program: Any, epoch: Any, validation: Any, until: int, together: Alone = ALONE):
        self.together = together
        self.feed, self.program, self.epoch, self.validation, self.until = feed, program, epoch, validation, until
        self._window: tuple[int, int, Staged] | None = None  # its first batch, and the one after its last
        self._next: tuple[int, concurrent.futures.Future[Any]] | None = None
        self._key: Any = None
        self._length, self._spent = FIRST, 0.0

    def __enter__(self) -> Reading:
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "gdjax-window")
        return self

    def __exit__(self, *_: Any) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __call__(
        self, run_state: RunState, evaluations: int, seconds: Any, period: int | None, batches: int
    ) -> RunState:
        if self._key is None:
            self._key = _on_cpu(jnp.array(run_state.state.key, copy=True))
            self.feed.check_position("segments", int(run_state.state.batches))
        while True:
            begun, done = time.perf_counter(), int(run_state.evaluations)
            window = self._window_of(run_state, period)
            if window is None:
                return self._end(run_state, seconds)
            begun = begun if self.feed.takes_long else time.perf_counter()
            _, end, staged = window
            goal = evaluations if period else done + 1  # the next period may have another length
            run_state = self._run(run_state, staged, goal, seconds, self._steps(run_state, period), min(batches, end))
            at = int(run_state.state.batches)
            self.feed.release(at)
            self._spent += time.perf_counter() - begun
            if int(run_state.stop) != Stop.RUNNING or int(run_state.evaluations) >= evaluations or at >= batches:
                return run_state

    def _run(
        self, run_state: RunState, staged: Staged, evaluations: int, seconds: Any, steps: int, batches: int
    ) -> RunState:
        limits = np.int32(evaluations), seconds, np.int32(steps), np.int32(batches)
        return self.program(run_state, staged, self.validation, *limits)

    def _steps(self, run_state: RunState, period: int | None) -> int:
        """Batches from the last evaluation to the next: a period, or what is left of a pass."""
        start, in_pass = int(run_state.state.batches) - int(run_state.taken), self.epoch.batches_per_epoch(self.feed)
        return period or (in_pass - start % in_pass if in_pass else (self.feed.most or ANY) - start)

    def _window_of(self, run_state: RunState, period: int | None) -> tuple[int, int, Staged] | None:
        """The window with the next batch, and the one behind it is asked for; None if there is no next batch."""
        at = int(run_state.state.batches)
        if self._window is not None and self._window[0] <= at < self._window[1]:
            return self._window
        self._length = self.together.lead(self._next_length)
        steps, more = self._steps(run_state, period), self.until - int(run_state.evaluations) - 1
        left = steps - int(run_state.taken) + more * (period or self.epoch.batches_per_epoch(self.feed) or ANY)
        if self._next is None or self._next[0] != at:
            self._next = self._ask(at, left)
        found = None if self._next is None else self._next[1].result()
        self._window = None if found is None else (at, at + found[1], found[0])
        if found is not None:
            self.feed.last = found
            self._next = self._ask(at + found[1], left - found[1])
        return self._window

    def _next_length(self) -> int:
        """Batches of the next window, so that it takes about SECONDS."""
        spent, self._spent = self._spent, 0.0
        return max(1, min(2 * self._length, int(self._length * SECONDS / spent))) if spent else self._length

    def _ask(self, first: int, left: int) -> tuple[int, concurrent.futures.Future[Any]] | None:
        """Gather the window that begins there, in the thread, of the `left` batches that the run still needs."""
        if left <= 0:
            return None
        settings = jax.enable_x64(jax.config.jax_enable_x64), jax.default_device(jax.config.jax_default_device)
        return first, self._thread.submit(self._gather, settings, first, min(self._length, left))

    def _gather(self, settings: tuple[Any, ...], first: int, count: int) -> Any:
        with contextlib.ExitStack() as stack:
            for each in settings:  # those of the thread that trains
                stack.enter_context(each)
            return self.feed.window(self.epoch, self._key, first, count)

    def _end(self, run_state: RunState, seconds: Any) -> RunState:
        """Evaluate the batches since the last evaluation, since no others come."""
        taken, done = int(run_state.taken), int(run_state.evaluations)
        if taken:
            run_state = self._run(run_state, self.feed.template(self.epoch), done + 1, seconds, taken, ANY)
        more = int(run_state.stop) == Stop.RUNNING and int(run_state.evaluations) < self.until
        return run_state._replace(stop=jnp.array(np.int32(Stop.EXHAUSTED))) if more else run_state


def _on_cpu(x: jax.Array) -> jax.Array:
    """The array where it does not wait for the run, if JAX has a CPU beside the device."""
    try:
        return jax.device_put(x, jax.devices("cpu")[0])
    except RuntimeError:
        return x
