"""The processes of one computation on several devices or hosts: how they come together, and how they end together.

Once joined, they exchange short texts through the store of `jax.distributed`. `gdjax.clusters` says how they are found.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import jax

from gdjax.clusters import Place, ProcessError, find_place

__all__ = ["ProcessError", "count", "index", "join"]

HEARTBEAT = 10  # seconds without a sign of life, after which a process counts as dead
JOIN = 300  # seconds in which all must have come
SHUTDOWN = 30  # seconds that the first process waits for the last one at the end
SLICE = 0.5  # seconds between two looks at whether another process has failed
FAREWELL = 10  # seconds that a process with an error waits for the others to see it
FAILED = "gdjax/failed"  # the key of the store that tells of the first error
PACKAGES = ("gdjax", "jax", "jaxlib", "optax", "numpy")  # of which all must have the same version


def join(seconds: float | None = None) -> None:
    """Join the other processes of this computation, if the environment says that there are any; before JAX starts.

    Args:
        seconds: in which all must have come, or this process ends with one line on stderr (default: GDJAX_JOIN_SECONDS of
            the environment, else 300).

    Raises: ProcessError in one line: a port that is taken, another version of a package in another process.

    >>> gd.processes.join()  # nothing in the environment: a run of its own
    >>> print(gd.processes.count())
    1
    """
    if jax.distributed.is_initialized():
        return
    seconds = _seconds() if seconds is None else seconds
    timer = threading.Timer(seconds, _give_up, given := [seconds, None])
    timer.daemon = True
    timer.start()
    try:
        place = given[1] = find_place(seconds)
        if place is not None:
            _initialize(place, seconds)
    finally:
        timer.cancel()
    if place is not None:
        _check_versions()


def _seconds() -> float:
    said = os.environ.get("GDJAX_JOIN_SECONDS", str(JOIN))
    with contextlib.suppress(ValueError):
        if 0 < float(said) < threading.TIMEOUT_MAX:
            return float(said)
    raise ProcessError(f"GDJAX_JOIN_SECONDS must be a number of seconds above 0, got {said}", 2)


def _initialize(place: Place, seconds: float) -> None:
    bind = os.environ.get("JAX_COORDINATOR_BIND_ADDRESS") or _own_address(place.coordinator)
    if place.index == 0:
        _check_port(bind or place.coordinator, is_any=bind is None)
    jax.config.update("jax_enable_preemption_service", False)  # it would catch SIGTERM, which a command listens to
    try:
        jax.distributed.initialize(
            place.coordinator,
            place.count,
            place.index,
            place.devices,
            coordinator_bind_address=bind,
            initialization_timeout=int(seconds) + 60,  # after the timer, since JAX aborts
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=SHUTDOWN,
        )
    except (RuntimeError, ValueError) as error:
        raise ProcessError(f"process {place.index} could not join: {' '.join(str(error).split())[:300]}") from error


def _own_address(coordinator: str) -> str | None:
    """The address to listen at: that of the coordinator if only this host has it; None for all of this host."""
    return coordinator if coordinator.startswith(("127.", "localhost:")) else None


def _check_port(address: str, is_any: bool) -> None:
    """Raise ProcessError if the port is taken, where the service of JAX would crash."""
    host, _, port = address.rpartition(":")
    host = "" if is_any else host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            raise ProcessError(f"process 0 cannot listen at {address}: {error.strerror or error}") from error


def _give_up(seconds: float, place: Place | None = None) -> None:
    """End the process, in which JAX waits in vain and would abort."""
    if place is None:
        return end(f"the cluster has not said in {seconds:g} seconds which processes there are", 1)
    who = "the others" if _answers(place.coordinator) else "process 0"
    waited = f"process {place.index} of {place.count} has waited {seconds:g} seconds"
    end(f"{waited} at {place.coordinator}, but {who} did not come", 1)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def end(message: str, code: int) -> None:
    """End the process at once, whatever its threads do, with one line on stderr."""
    os.write(2, f"gdjax: {message}\n".encode())
    os._exit(code)


def _check_versions() -> None:
    """Raise ProcessError in all processes if one of them has another version of a package."""
    own = {name: _version(name) for name in PACKAGES}
    put(f"gdjax/versions/{index()}", own)
    if index() == 0:
        put("gdjax/versions", [_difference(i, get(f"gdjax/versions/{i}"), own) for i in range(count())])
    for sentence in filter(None, get("gdjax/versions")):
        raise ProcessError(f"all processes must have the same versions: {sentence}")


def _difference(process: int, there: Any, own: Any) -> str:
    """What is another version there than in process 0; "" if nothing is."""
    wrong = [name for name in PACKAGES if there[name] != own[name]]
    return "".join(f"process {process} has {name} {there[name]}, process 0 has {own[name]}" for name in wrong[:1])


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def index() -> int:
    """The number of this process; 0 in a run of its own.

    >>> gd.processes.index()
    0
    """
    return _state().process_id


def count() -> int:
    """The number of processes that were joined.

    >>> gd.processes.count()
    1
    """
    return _state().num_processes


def _state() -> Any:
    """What JAX knows of the processes; it has no public name for their store, and none for the rest before its devices."""
    from jax._src.distributed import global_state

    return global_state


def put(key: str, value: Any) -> None:
    """Say a value of JSON's types under a key, once."""
    _state().client.key_value_set(key, json.dumps(value))


def get(key: str, seconds: float | None = None) -> Any:
    """The value of a key, as soon as a process has said it.

    Args:
        seconds: to wait at most; as long as all processes live if not given.

    Raises: TimeoutError; ProcessError if another process has failed meanwhile.
    """
    last = None if seconds is None else time.monotonic() + seconds
    while True:
        try:
            return json.loads(_state().client.blocking_key_value_get(key, int(1000 * SLICE)))
        except jax.errors.JaxRuntimeError as error:
            check()
            if "DEADLINE_EXCEEDED" not in str(error):
                raise ProcessError(f"process 0 is gone: {' '.join(str(error).split())[:200]}") from error
        if last is not None and time.monotonic() > last:
            raise TimeoutError(key)


def forget(key: str) -> None:
    """Remove a key that all have read."""
    _state().client.key_value_delete(key)


def check(patient: bool = False) -> None:
    """Raise ProcessError if another process has failed; with patience, if it tells of it within a second."""
    for pause in (0.0, *([SLICE / 2] * 4 if patient else [])):
        time.sleep(pause)
        failed = _failure()
        if failed is not None and failed["process"] != index():
            raise ProcessError(f"process {failed['process']} has failed: {failed['message']}", failed["code"])


def _failure() -> dict[str, Any] | None:
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # there is none
        return json.loads(_state().client.key_value_try_get(FAILED))
    return None


@contextlib.contextmanager
def one_fate() -> Iterator[None]:
    """A context in which an error of one process is told to the others, who raise a ProcessError where they wait for it."""
    try:
        yield
    except BaseException as error:
        if count() > 1 and not (isinstance(error, SystemExit) and error.code in (0, None)):
            if "Gloo" in str(error) or isinstance(error, jax.errors.JaxRuntimeError):
                check(patient=True)  # the end of another process may have brought it
            said, code = " ".join(str(error).split())[:300], getattr(error, "code", None)
            fail(said if said and code is not None else f"{type(error).__name__}: {said}", code or 1)
        raise


def fail(message: str, code: Any) -> None:
    """Tell the other processes, if there are any, that this one ends with an error; only the first error is told."""
    if count() < 2:
        return
    said = {"process": index(), "message": message, "code": code if isinstance(code, int) else 1}
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        put(FAILED, said)


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """A context in which a process that ends with an error does not wait for the others, as JAX would."""
    try:
        yield
    except SystemExit as stop:
        if count() > 1 and stop.code not in (0, None):
            _leave(stop.code if isinstance(stop.code, int) else 1)
        raise
    except BaseException:
        if count() > 1:
            traceback.print_exc()
            _leave(1)
        raise


def _leave(code: int) -> None:
    """End the process, once the others have been told, and can end of themselves; but do not wait for them long."""
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(Exception):
        put(f"gdjax/left/{index()}", True)
        failed, until = _failure() or {}, time.monotonic() + FAREWELL
        if index() == 0 or failed.get("process") == index():
            for other in range(count()):
                rest = max(1, int(1000 * (until - time.monotonic())))
                _state().client.blocking_key_value_get(f"gdjax/left/{other}", rest)
        time.sleep(SLICE if index() == 0 else 0)  # the store is here
    os._exit(code)
