"""A job of several workers on the cluster that Ray is connected to, or on a local one: `JaxTrainer` supervises it."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gdjax.cluster.restarts import JobError, Restarts, Tell
from gdjax.cluster.worker import Outcome, Setup, Work, attempt
from gdjax.launch.policy import exit_code
from gdjax.launch.run_folder import RunFolder
from gdjax.launch.telling import of_end
from gdjax.runs.job import went_wrong
from gdjax.sweeps.cluster import connected, own_signals

# Of Ray, where the environment does not say otherwise.
SETTINGS = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # what is printed is no record of a log
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": "60",  # of a worker that is stopped, and has no other that misses it
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20",  # for the resources of lost workers, before fewer are tried
}
SCHEDULING = 30  # times that so many seconds are waited for resources
HANDED_ON = ("JAX_", "XLA_")  # variables of the environment that workers have, too


@dataclasses.dataclass(frozen=True)
class ClusterJob:
    """What is run by how many workers; see `run_job`.

    Args:
        work: called in each worker, when it has joined the others, with whether the run that is there goes on; it trains in
            the folder and returns the exit code of a command.
        folder: the run folder, which all hosts of the cluster reach.
        workers: how many.
        min_workers: how many suffice to start (again) where the cluster has no room for more; None for all.
        devices: of each worker, on CPUs.
        resources: that each worker takes of the cluster, such as {"CPU": 4} or {"GPU": 1} (default: one CPU).
        max_restarts: how many may come without a newer checkpoint.
        is_resumed: whether the run that is in the folder before goes on.
    """

    work: Work
    folder: Path
    workers: int
    min_workers: int | None = None
    devices: int = 1
    resources: Mapping[str, float] | None = None
    max_restarts: int = 3
    is_resumed: bool = False

    @property
    def each(self) -> dict[str, float]:
        """What a worker takes."""
        return dict(self.resources or {"CPU": 1})


def run_job(job: ClusterJob, tell: Tell, who: str = "cluster") -> Outcome:
    """Run a job to its end.

    Args:
        tell: called in a thread with "out" or "err" and a text of rank 0, or on a restart, as it comes.

    Raises:
        ImportError: in one sentence, where Ray is missing.
        ValueError: the cluster has no room for the workers.
        RuntimeError: Ray could not run them.
    """
    needed = int(job.workers * job.each.get("CPU", 0))
    with _settings(), connected(who, max(needed, os.cpu_count() or 1), "ray.train") as ray, _silent():
        _check_room(ray.cluster_resources(), job, who)
        with _heard(tell) as told, _storage(job.folder) as storage:
            return _outcome(job, told, storage)


def _outcome(job: ClusterJob, told: Tell, storage: Path) -> Outcome:
    folder = RunFolder(job.folder.absolute(), job.is_resumed)
    setup = Setup(job.work, folder, told, os.getcwd())
    try:
        with _ending():
            return _trainer(job, setup, storage).fit().return_value or Outcome(0)
    except importlib.import_module("ray.train").ControllerError as error:
        failure = error.controller_failure
        if not isinstance(failure, JobError):
            raise RuntimeError(f"Ray could not run the workers: {' '.join(str(failure).split())}") from error
        if failure.end is None:
            return Outcome(int(went_wrong(str(folder.end))))
        return Outcome(exit_code(failure.end), of_end(failure.end, failure.past, folder.left), failure.error)


def _trainer(job: ClusterJob, setup: Setup, storage: Path) -> Any:
    train, jax = importlib.import_module("ray.train"), importlib.import_module("ray.train.v2.jax")
    logging = importlib.import_module("ray.train.v2.api.config").LoggingConfig(log_level="CRITICAL")
    handed_on = {name: value for name, value in os.environ.items() if name.startswith(HANDED_ON)}
    return jax.JaxTrainer(
        attempt,
        train_loop_config=setup,
        jax_config=jax.JaxConfig(),  # on no accelerator does Ray join the processes: they do it themselves
        scaling_config=train.ScalingConfig(
            num_workers=job.workers if job.min_workers is None else (job.min_workers, job.workers),
            resources_per_worker=job.each,
            use_gpu=job.each.get("GPU", 0) > 0,
        ),
        run_config=train.RunConfig(
            name=storage.name,
            storage_path=str(storage.parent),
            callbacks=[_callback(Restarts(setup.folder, job.max_restarts, setup.tell))],
            failure_config=train.FailureConfig(max_failures=-1, controller_failure_limit=SCHEDULING),
            worker_runtime_env={"env_vars": handed_on | {"JAX_NUM_CPU_DEVICES": str(job.devices)}},
            logging_config=logging,
        ),
    )


def _callback(restarts: Restarts) -> Any:
    """What Ray's controller calls when workers have failed."""

    class Failing(importlib.import_module("ray.train").UserCallback):
        def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
            restarts.take(worker_exceptions)

    return Failing()


def _check_room(there: Mapping[str, float], job: ClusterJob, who: str) -> None:
    count = job.workers if job.min_workers is None else job.min_workers
    for name, amount in job.each.items():
        if count * amount > there.get(name, 0):
            raise ValueError(
                f"{who}: {count} workers take {count * amount:g} {name}, but the cluster has {there.get(name, 0):g}"
            )


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """A context with the settings of Ray in the environment, from where its controller reads them."""
    added = [name for name in SETTINGS if name not in os.environ]
    os.environ.update({name: SETTINGS[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """A context in which Ray ends the workers on SIGINT, which it hears, and on SIGTERM, which it would not."""
    came: list[int] = []

    def end(number: int, _: Any) -> None:
        came.append(number)
        signal.raise_signal(signal.SIGINT)

    try:
        with own_signals():
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, end)
            yield
    except SystemExit as stop:  # Ray has ended them
        if came:
            signal.raise_signal(came[0])  # which is heard as before
        raise KeyboardInterrupt from stop


@contextlib.contextmanager
def _storage(folder: Path) -> Iterator[Path]:
    """A folder for Ray beside the run folder, where all hosts reach it; it is removed afterwards."""
    made = folder.absolute().parent
    made.mkdir(parents=True, exist_ok=True)
    place = made / f".{folder.name}.ray-{os.getpid()}"
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


class _Telling:
    """Says what is to be told, from any process of the cluster."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def __call__(self, kind: str, text: str) -> None:
        self._queue.put((kind, text))


@contextlib.contextmanager
def _heard(tell: Tell) -> Iterator[Tell]:
    """A function for workers; what it is told here is told by `tell`, in a thread."""
    lost = importlib.import_module("ray.exceptions").RayError  # the cluster
    queue = importlib.import_module("ray.util.queue").Queue(actor_options={"num_cpus": 0})

    def hear() -> None:
        with contextlib.suppress(lost):
            while (said := queue.get()) is not None:
                tell(*said)

    thread = threading.Thread(target=hear, daemon=True)
    thread.start()
    try:
        yield _Telling(queue)
    finally:
        with contextlib.suppress(lost):
            queue.put(None)
        thread.join(timeout=10)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """A context in which Ray's threads print nothing: what they say of a lost worker is told in one line."""
    with contextlib.redirect_stdout(_OfOthers(sys.stdout)):  # type: ignore[type-var]
        yield


class _OfOthers:
    """A stream that leaves out what is written by threads of Ray."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return len(text) if threading.current_thread().name.startswith("ray_") else self._stream.write(text)
