"""A job of several ranks on this machine: started, watched, started again from its newest checkpoint when a rank is lost."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from gdjax.launch.policy import ASKED, End, Past, after, culprit, exit_code, last_failure
from gdjax.launch.ranks import Rank, kill_all, started
from gdjax.launch.run_folder import RunFolder
from gdjax.launch.telling import of_end, of_restart
from gdjax.launch.watching import watch
from gdjax.runs.job import went_wrong

HOST = "127.0.0.1"


@dataclasses.dataclass(frozen=True)
class Job:
    """What is run by how many processes; see `Supervisor`.

    Args:
        words: of a command of gdjax that trains in the folder.
        folder: the run folder.
        processes: how many ranks.
        devices: of each rank.
        port: of the coordinator, which is rank 0; None for a free one, another in each attempt.
        grace: seconds in which ranks end that are asked to.
        max_restarts: how many may come without a newer checkpoint.
        program: what the words are given to.
    """

    words: tuple[str, ...]
    folder: Path
    processes: int
    devices: int = 1
    port: int | None = None
    grace: float = 10.0
    max_restarts: int = 3
    program: tuple[str, ...] = (sys.executable, "-m", "gdjax")

    def environment(self, rank: int, port: int) -> dict[str, str]:
        """The variables that tell a process which rank it is."""
        mine = range(rank * self.devices, (rank + 1) * self.devices)
        return {
            "GDJAX_COORDINATOR": f"{HOST}:{port}",
            "GDJAX_PROCESSES": str(self.processes),
            "GDJAX_PROCESS": str(rank),
            "JAX_NUM_CPU_DEVICES": str(self.devices),
            "JAX_LOCAL_DEVICE_IDS": ",".join(map(str, mine)),  # of accelerators
        }


class Supervisor:
    """Runs a job to its end.

    with noting(supervisor.abandon) as signals:
        code = supervisor.run(signals)
    """

    job: Job
    folder: RunFolder

    def __init__(self, job: Job) -> None:
        self.job, self.folder = job, RunFolder(job.folder, "--resume" in job.words)
        self._ranks: Sequence[Rank] = ()
        self._past = Past()

    def run(self, signals: Sequence[int]) -> int:
        """The exit code of the job.

        Args:
            signals: SIGINT and SIGTERM are appended to it as they come.
        """
        while True:
            code = self._code_of(self._attempt(signals), signals)
            if code is not None:
                return code

    def abandon(self) -> str:
        """Kill the ranks, since the launcher ends here; return what is to be said."""
        kill_all(self._ranks)
        self.folder.remove_drafts()
        return f"killed, {self.folder.left}"

    def _attempt(self, signals: Sequence[int]) -> list[End]:
        """How the ranks were found when all were done, or the first had failed; none runs afterwards."""
        port, words = self.job.port or free_port(), self.folder.words(self.job.words)
        each = [{**os.environ, **self.job.environment(rank, port)} for rank in range(self.job.processes)]
        with started([((*self.job.program, *words), environment) for environment in each], self.job.grace) as ranks:
            self._ranks = ranks
            watch(ranks, signals, self.job.grace)
            ends = [rank.end() for rank in ranks]
            is_told = ends[0].code in (0, *ASKED) or self.folder.end is not None
            if not is_told:
                ranks[0].hold()  # what it says as it is ended
        if is_told:
            ranks[0].release()
        self.folder.remove_drafts()
        return ends

    def _code_of(self, ends: Sequence[End], signals: Sequence[int]) -> int | None:
        """The exit code of a job that ends so, None if it starts again."""
        if ends[0].code == 0:
            return 0
        if self.folder.end is not None:
            return int(went_wrong(self.folder.end))
        if signals:
            if ends[0].code not in ASKED:
                print(f"gdjax: interrupted, {self.folder.left}", file=sys.stderr, flush=True)
            return 128 + signals[0]
        return self._after(culprit(ends))

    def _after(self, failure: End) -> int | None:
        """The exit code if the job gives up after this failure, None if it starts again."""
        most, step = self.job.max_restarts, self.folder.step
        past = self._past = after(self._past, failure, step, self.folder.begun)
        last = last_failure(past, failure, most, self.job.port is None)
        if last is None:
            print(of_restart(past, failure, most, step), file=sys.stderr, flush=True)
            return None
        if text := of_end(last, past, self.folder.left):
            print(text, file=sys.stderr, flush=True)
        return exit_code(last)


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        return found.getsockname()[1]


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of this machine."""
    with socket.socket() as tried, contextlib.suppress(OSError):
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what was closed a moment ago is free
        tried.bind((HOST, port))
        return True
    return False
