"""The blocks of a sweep on the devices of this process, several at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.sweeps.blocks import Block, Outcome, Running, outcomes_of, run_block
from gdjax.sweeps.store import Nowhere
from gdjax.sweeps.study import Study
from gdjax.sweeps.ways import workers

Task = tuple[Study, Block]


class Progress(NamedTuple):
    """How far a sweep is; `tell` of `sweep` is called with one after each segment of a block."""

    alive: int  # lanes that are running
    done: int  # lanes that have ended
    lanes: int  # all of them
    best: float  # monitored value so far, NaN if there is none
    share: float  # of the sweep's evaluations, if no condition stops a run


class Telling:
    """The progress of all blocks together."""

    tell: Callable[[Progress], None]
    lanes: int
    alive: dict[Task, int]
    share: dict[Task, float]
    done: int
    best: float

    def __init__(self, tasks: list[Task], tell: Callable[[Progress], None]):
        self.tell, self._lock = tell, threading.Lock()
        self.lanes = sum(len(block.lanes) for _, block in tasks)
        self.alive = {}
        self.share = {}
        self.done, self.best = 0, float("nan")

    def take(self, study: Study, block: Block, running: Running) -> None:
        """After a segment."""
        alive, total = int(running.alive.sum()), block.until or sum(count for count, _ in study.pieces)
        best = study.sign * float(running.states.best_value.min())
        with self._lock:
            self.alive[study, block] = alive
            self.share[study, block] = len(block.lanes) * (running.done / total if alive else 1.0)
            self._improve(study, best)
            self._say()

    def end(self, study: Study, block: Block, outcomes: list[Outcome]) -> None:
        """After the last one."""
        sign = study.sign
        with self._lock:
            self.alive.pop((study, block), None)
            self.share[study, block] = len(block.lanes)
            self.done += len(block.lanes)
            self._improve(study, sign * min(sign * each.best_value for each in outcomes))
            self._say()

    def _improve(self, study: Study, best: float) -> None:
        if np.isfinite(best) and not self.best * study.sign <= best * study.sign:
            self.best = best

    def _say(self) -> None:
        alive, share = sum(self.alive.values()), sum(self.share.values()) / self.lanes
        self.tell(Progress(alive, self.done, self.lanes, self.best, share))


def run_locally(tasks: list[Task], store: Nowhere, tell: Callable[[Progress], None]) -> list[Outcome]:
    """What became of all lanes, in the order of the tasks.

    Raises: KeyboardInterrupt after Ctrl-C, when every running block is kept.
    """
    telling, stopping, devices = Telling(tasks, tell), threading.Event(), _devices()
    context = same_context()

    def run(number: int) -> list[Outcome]:
        study, block = tasks[number]
        with context(), jax.default_device(devices[number % len(devices)]):
            return run_one(study, block, store, telling, stopping)

    with ThreadPoolExecutor(min(len(tasks), len(devices) * workers()), "lanes") as pool:
        futures = [pool.submit(run, number) for number in range(len(tasks))]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            stopping.set()
            pool.shutdown(cancel_futures=True)
    errors = [error for future in futures if not future.cancelled() and (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, KeyboardInterrupt))[:1]:
        raise error
    return [outcome for future in futures for outcome in future.result()]


def is_wide() -> bool:
    """Whether numbers have 64 bits here."""
    return jnp.zeros(0).dtype == jnp.float64


def _devices() -> list[Any]:
    """Those of this process; one alone, or those of one platform, where the caller has chosen so."""
    chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
    return [chosen] if isinstance(chosen, jax.Device) else jax.local_devices(backend=chosen)


def same_context() -> Callable[[], AbstractContextManager[Any]]:
    """A context of another thread that computes as this one does, which may be in a context of its own."""
    now: Any = jax.config
    wide, precision, random = is_wide(), now.jax_default_matmul_precision, now.jax_default_prng_impl
    partitionable = now.jax_threefry_partitionable

    @contextmanager
    def context() -> Iterator[None]:
        with (
            jax.enable_x64(wide),
            jax.default_matmul_precision(precision),
            jax.default_prng_impl(random),
            jax.threefry_partitionable(partitionable),
        ):
            yield

    return context


def run_one(study: Study, block: Block, store: Nowhere, telling: Telling, stopping: threading.Event) -> list[Outcome]:
    """What became of the lanes of a block, which goes on where the store has it."""
    found = store.outcomes(study, block)
    if found is None:
        running = store.begin(study, block)
        for after in run_block(study, block, running):
            running = after
            if stopping.is_set():
                break
            telling.take(study, block, running)
            store.save(study, block, running)
        if stopping.is_set():
            store.save(study, block, running, last=True)
            raise KeyboardInterrupt
        found = outcomes_of(study, block, running)
        store.finish(study, block, found)
    telling.end(study, block, found)
    return found
