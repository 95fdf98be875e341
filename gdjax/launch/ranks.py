"""The ranks of a job: processes that are started together and ended together."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from gdjax.launch.output import Output, is_echo, last_words
from gdjax.launch.policy import End
from gdjax.lifeline import LIFELINE

TICK = 0.05  # seconds between two looks


class Rank:
    """One process, in a process group of its own: a Ctrl-C at the terminal reaches the launcher alone.

    Args:
        words: of its command.
        environment: of the process, besides its line to the launcher.
    """

    index: int
    process: subprocess.Popen[bytes]
    silent: float
    was_heard: bool
    outputs: list[Output]

    def __init__(self, index: int, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self.index, self.silent, self.was_heard = index, 0.0, False
        self._began, self._ended = time.monotonic(), 0.0
        shown = (sys.stdout, sys.stderr) if index == 0 else (None, None)
        pipes = [_pipe(to is not None and to.isatty()) for to in shown]
        self._line, theirs = socket.socketpair()
        self._line.setblocking(False)
        try:
            self.process = subprocess.Popen(
                words,
                env={**environment, LIFELINE: str(theirs.fileno())},
                stdin=subprocess.DEVNULL,
                stdout=pipes[0][1],
                stderr=pipes[1][1],
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        finally:
            theirs.close()
            for _, writer in pipes:
                os.close(writer)
            self.outputs = [Output(reader, to) for (reader, _), to in zip(pipes, shown, strict=True)]

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        code = self.process.poll()
        if code is not None and not self._ended:
            self._ended = time.monotonic()
        return code

    def listen(self, seconds: float) -> None:
        """Note whether it was heard in the seconds that have passed."""
        with contextlib.suppress(OSError):
            if self._line.recv(4096):
                self.silent, self.was_heard = 0.0, True
                return
        self.silent += seconds

    def end(self) -> End:
        """How it is found; what it has said is whole if it has ended."""
        code = self.code
        if code is not None:
            self._hear_out()
        text = last_words(self.outputs[1].held)
        seconds = (self._ended or time.monotonic()) - self._began
        return End(self.index, code, seconds, self.silent, text, is_echo("".join(self.outputs[1].held)))

    def _hear_out(self) -> None:
        """Wait for the last that it has said; a child of its own that holds the pipe is ended."""
        if not wait_until(lambda: not any(output.is_alive() for output in self.outputs), 2):
            self._send(signal.SIGKILL)
            for output in self.outputs:
                output.join(timeout=1)

    def send(self, number: int) -> None:
        """Send a signal to it and its children, if it runs."""
        if self.code is None:
            self._send(number)

    def kill(self) -> None:
        """End it, and its children, which may have outlived it."""
        self._send(signal.SIGKILL)
        self.process.wait()

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # its group has ended
            os.killpg(self.process.pid, number)

    def hold(self) -> None:
        """Show no more of what it says."""
        for output in self.outputs:
            output.hold()

    def release(self) -> None:
        """Show what was held back of what it has said."""
        for output in self.outputs:
            output.release()

    def close(self) -> None:
        self._line.close()


def _pipe(is_terminal: bool) -> tuple[int, int]:
    """(reader, writer): a terminal if the reader writes to one, so that a progress bar is drawn."""
    if not is_terminal:
        return os.pipe()
    import termios
    import tty

    reader, writer = os.openpty()
    tty.setraw(writer)  # what is written comes as it is
    with contextlib.suppress(termios.error):
        termios.tcsetwinsize(writer, termios.tcgetwinsize(2))
    return reader, writer


@contextlib.contextmanager
def started(commands: Sequence[tuple[Sequence[str], Mapping[str, str]]], grace: float) -> Iterator[list[Rank]]:
    """The ranks of commands and their environments; all have ended after the block."""
    ranks: list[Rank] = []
    try:
        for index, (words, environment) in enumerate(commands):
            ranks.append(Rank(index, words, environment))
        yield ranks
    finally:
        end_all(ranks, grace)
        for rank in ranks:
            rank.close()


def end_all(ranks: Sequence[Rank], grace: float) -> None:
    """Ask those that still run to end, and after the grace end them."""
    for rank in ranks:
        rank.send(signal.SIGTERM)
    wait_until(lambda: all(rank.code is not None for rank in ranks), grace)
    kill_all(ranks)


def kill_all(ranks: Sequence[Rank]) -> None:
    """End those that still run, at once, and what those that have ended left behind."""
    for rank in ranks:
        rank.kill()


def wait_until(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether it holds before so many seconds have passed."""
    last = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > last:
            return False
        time.sleep(TICK)
    return True
