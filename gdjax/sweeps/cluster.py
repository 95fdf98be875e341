"""The blocks of a sweep as tasks of Ray, on the cluster that it is connected to, or on a local one.

A worker makes the studies of a sweep from its arguments, so that what travels are these and the numbers of a block. A block
whose worker is lost runs again. The table equals the local one to the last bit where the workers have the same hardware and
see the same number of cores.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from gdjax.sweeps.blocks import Block, Outcome, outcomes_of, run_block, start_block
from gdjax.sweeps.engine import Progress, Task, Telling, is_wide
from gdjax.sweeps.store import Nowhere
from gdjax.sweeps.study import Study

_studies: dict[str, list[Study]] = {}  # of the sweep that this worker has last worked for


class Shipment(NamedTuple):
    """What the studies of a sweep are made from."""

    make: Callable[..., list[Study]]
    arguments: tuple[Any, ...]
    is_wide: bool


def run_on_cluster(
    tasks: list[Task],
    store: Nowhere,
    tell: Callable[[Progress], None],
    make: Callable[..., list[Study]],
    arguments: tuple[Any, ...],
) -> list[Outcome]:
    """What became of all lanes, in the order of the tasks; a block is kept in the store when it comes back.

    Args:
        make, arguments: make(*arguments) are the studies, in the order in which the tasks name them first.

    Raises: ImportError, in one sentence, where Ray is missing; the error of a block that failed.
    """
    with connected("sweep") as ray:
        telling, studies = Telling(tasks, tell), [*dict.fromkeys(study for study, _ in tasks)]
        shipment = ray.put(Shipment(make, jax.device_get(arguments), is_wide()))
        remote = ray.remote(run_shipped).options(max_retries=-1, num_gpus=int(jax.default_backend() == "gpu"))
        found = {i: outcomes for i, task in enumerate(tasks) if (outcomes := store.outcomes(*task)) is not None}
        pending = {
            remote.remote([shipment], shipment.hex(), studies.index(study), block): i
            for i, (study, block) in enumerate(tasks)
            if i not in found
        }
        try:
            while pending:
                ready = ray.wait([*pending], num_returns=1)[0][0]
                i = pending.pop(ready)
                found[i] = ray.get(ready)
                store.finish(*tasks[i], found[i])
                telling.end(*tasks[i], found[i])
        finally:
            for waiting in pending:
                ray.cancel(waiting, force=True)
    return [outcome for i in range(len(tasks)) for outcome in found[i]]


def run_shipped(place: list[Any], name: str, study: int, block: Block) -> list[Outcome]:
    """What became of the lanes of a block, in a worker."""
    if name not in _studies:
        shipment: Shipment = importlib.import_module("ray").get(place[0])
        jax.config.update("jax_enable_x64", shipment.is_wide)
        _studies.clear()
        _studies[name] = shipment.make(*shipment.arguments)
    chosen = _studies[name][study]
    running = start_block(chosen, block)
    for after in run_block(chosen, block, running):
        running = after
    return outcomes_of(chosen, block, running)


@contextlib.contextmanager
def connected(who: str, cpus: int | None = None, part: str = "ray") -> Iterator[Any]:
    """Ray, connected: as it is already, else to the cluster that runs here or that RAY_ADDRESS names, else to a local one.

    Args:
        cpus: of a local cluster (default: the cores), which is started here and ends with the block.
        part: the module of Ray that is needed.

    Raises: ImportError, in one sentence, where it is missing.
    """
    try:
        ray, _ = importlib.import_module("ray"), importlib.import_module(part)
    except ImportError as error:
        raise ImportError(f"{who}: engine='ray' needs Ray: pip install 'gdjax[cluster]'") from error
    own = not ray.is_initialized()
    if own:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        _connect(ray, cpus)
    try:
        yield ray
    finally:
        if own:
            ray.shutdown()


def _connect(ray: Any, cpus: int | None) -> None:
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    with own_signals():
        try:
            ray.init(num_cpus=cpus, **quiet)
        except ValueError:  # a cluster that runs has its own number
            ray.init(**quiet)


@contextlib.contextmanager
def own_signals() -> Iterator[None]:
    """A context after which SIGINT and SIGTERM are heard as before, although Ray has set them."""
    heard = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
