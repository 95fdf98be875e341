"""Whether the workers of a job start again after a failure: the rules of `gdjax launch`, in the controller of Ray."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from gdjax.launch.policy import End, Past, after, culprit, last_failure
from gdjax.launch.run_folder import RunFolder
from gdjax.launch.telling import of_restart

Tell = Callable[[str, str], None]  # ("out" or "err", text)


class RankError(Exception):
    """What a worker ends with when it has failed.

    Args:
        end: how it has ended.
        error: that ended it; None for an exit code.
    """

    end: End
    error: Exception | None

    def __init__(self, end: End, error: Exception | None) -> None:
        super().__init__(end, error)
        self.end, self.error = end, error


class JobError(Exception):
    """The last failure of a job, after which its workers do not start again.

    Args:
        past: the failures since the run's last progress.
        end: the one that is told; None if the run has ended all the same.
        error: that of its worker.
    """

    past: Past
    end: End | None
    error: Exception | None

    def __init__(self, past: Past, end: End | None = None, error: Exception | None = None) -> None:
        super().__init__(past, end, error)
        self.past, self.end, self.error = past, end, error


class Restarts:
    """Counts the failures of a job.

    Args:
        folder: of the run.
        most: how many restarts may come without a newer checkpoint.
        tell: is told of each restart.
    """

    def __init__(self, folder: RunFolder, most: int, tell: Tell) -> None:
        self._folder, self._most, self._tell = folder, most, tell
        self._past, self._errors, self._began = Past(), dict[End, Exception | None](), time.monotonic()

    def take(self, failures: Mapping[int, BaseException]) -> None:
        """Note what the workers have ended with, by rank.   Raises: JobError if they do not start again."""
        ends = {self._end_of(rank, failures[rank]): getattr(failures[rank], "error", None) for rank in sorted(failures)}
        self._errors |= ends
        self._began, failure, step = time.monotonic(), culprit([*ends]), self._folder.step
        past = self._past = after(self._past, failure, step, self._folder.begun)
        if self._folder.end is not None:
            raise JobError(past)
        if (last := last_failure(past, failure, self._most)) is not None:
            raise JobError(past, last, self._errors[last])
        self._tell("err", of_restart(past, failure, self._most, step) + "\n")

    def _end_of(self, rank: int, failure: Any) -> End:
        """How a worker has ended."""
        if isinstance(failure, RankError):
            return failure.end
        seconds = time.monotonic() - self._began
        if type(failure).__module__.startswith("ray."):  # it is lost, and Ray does not know how
            return End(rank, None, seconds, math.inf)
        return End(rank, 1, seconds, text=f"{type(failure).__name__}: {failure}")
