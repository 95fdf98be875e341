"""What a worker of a job does in each attempt: it joins the others, then trains as a rank of `gdjax launch` does."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from typing import NamedTuple

from gdjax import processes
from gdjax.cluster.restarts import RankError, Tell
from gdjax.launch.output import Output, is_echo, last_words
from gdjax.launch.policy import End
from gdjax.launch.run_folder import RunFolder

Work = Callable[[bool], int]  # whether the run that is there goes on -> the exit code


class Outcome(NamedTuple):
    """What a job ends with."""

    code: int  # the exit code of a command
    text: str = ""  # what is left to be said
    error: Exception | None = None  # that of the worker to blame


class Setup(NamedTuple):
    """What a worker is given."""

    work: Work
    folder: RunFolder
    tell: Tell
    place: str  # the working folder of the job's driver, from which paths are read


def attempt(setup: Setup) -> Outcome | None:
    """Work as one of Ray's workers, and return the outcome in rank 0.   Raises: RankError."""
    context, began = importlib.import_module("ray.train").get_context(), time.monotonic()
    broadcast = importlib.import_module("ray.train.collective").broadcast_from_rank_zero
    rank, count = context.get_world_rank(), context.get_world_size()
    logging.getLogger().setLevel(logging.WARNING)  # as in a process that is not of Ray
    with contextlib.suppress(OSError):  # another host need not have it
        os.chdir(setup.place)
    alone = context.get_local_world_size() == count
    coordinator, goes_on = broadcast(_begin(setup.folder, alone) if rank == 0 else None)
    os.environ.update(GDJAX_COORDINATOR=coordinator, GDJAX_PROCESSES=str(count), GDJAX_PROCESS=str(rank))
    with _captured(setup.tell if rank == 0 else None) as (out, err):
        code, error = _work(setup.work, goes_on)
    said = last_words([*err.held, *([] if error is None else traceback.format_exception(error))])
    if code and setup.folder.end is None:
        raise RankError(End(rank, code, time.monotonic() - began, 0.0, said, is_echo(said)), _portable(error))
    for output in (out, err):
        output.release()
    return Outcome(code, said if code else "", _portable(error)) if rank == 0 else None


def _begin(folder: RunFolder, alone: bool) -> tuple[str, bool]:
    """The address at which rank 0 waits for the others, and whether the run in the folder goes on.

    Args:
        alone: whether all workers are on this host.
    """
    folder.remove_drafts()
    host = "127.0.0.1" if alone else importlib.import_module("ray.util").get_node_ip_address()
    with socket.socket() as found:
        found.bind((host, 0))
        return f"{host}:{found.getsockname()[1]}", folder.is_there


def _work(work: Work, goes_on: bool) -> tuple[int, Exception | None]:
    """The exit code of the work, and the error that ended it."""
    try:
        processes.join()
        return work(goes_on), None
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None), None
    except Exception as error:
        return getattr(error, "code", 1), error


@contextlib.contextmanager
def _captured(tell: Tell | None) -> Iterator[tuple[Output, Output]]:
    """A context in which what Python writes on stdout and stderr is told, or kept if there is nobody to tell."""
    pipes, streams = (os.pipe(), os.pipe()), [_Told(tell, kind) if tell else None for kind in ("out", "err")]
    out, err = [Output(reader, stream) for (reader, _), stream in zip(pipes, streams, strict=True)]
    with (
        open(pipes[0][1], "w", buffering=1) as to_out,
        open(pipes[1][1], "w", buffering=1) as to_err,
        contextlib.redirect_stdout(to_out),
        contextlib.redirect_stderr(to_err),
    ):
        yield out, err
    out.join()
    err.join()


class _Told(io.StringIO):
    """A stream whose text is told."""

    def __init__(self, tell: Tell, kind: str) -> None:
        super().__init__()
        self._tell, self._kind = tell, kind

    def write(self, text: str, /) -> int:
        if text:
            self._tell(self._kind, text)
        return len(text)


def _portable(error: Exception | None) -> Exception | None:
    """The error, or its words where another process may not know it."""
    if error is None or (type(error).__module__.split(".")[0] in ("builtins", "gdjax") and _is_plain(error)):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")


def _is_plain(error: Exception) -> bool:
    return all(isinstance(argument, (str, int, float)) for argument in error.args)
