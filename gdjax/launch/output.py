"""What a rank writes: shown as it comes, or kept until it is known whether it matters."""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Sequence
from typing import IO, Any

LINES = 2000  # that are kept
SHOWN = 10  # last lines of a rank that says nothing else
TRACEBACK = "Traceback (most recent call last):"
# What JAX, and a command that fails by it, write when another rank is lost.
LOST = r"left the run that they share|process \d+ has failed|process 0 is gone|did not (?:come|answer in)"
ECHO = re.compile(rf"Gloo |coordination.service|distributed service detected fatal errors|{LOST}", re.IGNORECASE)
TROUBLE = re.compile(
    rf"{re.escape(TRACEBACK)}|F\d{{4}} |E\d{{4}} .*coordination|gdjax: .*(?:this machine cannot|{LOST})"
)
CHAIN = ("During handling of the above exception", "The above exception was the direct cause")


class Output(threading.Thread):
    """Reads what is written to a descriptor until it is closed.

    Args:
        descriptor: of a pipe, or of a terminal; it is closed at the end.
        shown: where to write lines as they come, up to the first that tells of trouble; None: nowhere.
    """

    held: deque[str]

    def __init__(self, descriptor: int, shown: IO[str] | None) -> None:
        super().__init__(daemon=True)
        self._descriptor, self._shown = descriptor, shown
        self._is_held = shown is None
        self.held = deque(maxlen=LINES)
        self.start()

    def run(self) -> None:
        with os.fdopen(self._descriptor, "rb", buffering=0) as stream:
            rest = b""
            while data := _read(stream):
                *lines, rest = re.split(rb"(?<=[\r\n])", rest + data)
                for line in lines:
                    self._take(line.decode(errors="replace"))
            if rest:
                self._take(rest.decode(errors="replace"))

    def _take(self, line: str) -> None:
        self._is_held = self._is_held or bool(TROUBLE.match(line))
        if self._is_held:
            self.held.append(line)
        else:
            self._show(line)

    def _show(self, text: str) -> None:
        try:
            if self._shown is not None:
                self._shown.write(text)
                self._shown.flush()
        except (OSError, ValueError):  # its reader has stopped
            self._shown = None

    def hold(self) -> None:
        """Show no more."""
        self._is_held = True

    def release(self) -> None:
        """Show what was held back, when all of it has come."""
        self.join(timeout=5)  # another process may hold the pipe
        self._show("".join(self.held))


def _read(stream: Any) -> bytes:
    try:
        return stream.read(1 << 16)
    except OSError:  # the other side of a terminal is closed
        return b""


def last_words(lines: Sequence[str]) -> str:
    """The last traceback with those that it is chained to; else the last message of a command; else the last lines."""
    lines = [line.rstrip("\r\n") for line in lines]
    begins = [i for i, line in enumerate(lines) if line.startswith(TRACEBACK)]
    if not begins:
        messages = [line for line in lines if line.startswith("gdjax: ")]
        return "\n".join(messages[-1:] or lines[-SHOWN:]).strip()
    begin = begins.pop()
    while begins and any(line.startswith(CHAIN) for line in lines[begins[-1] : begin]):
        begin = begins.pop()
    return "\n".join(lines[begin:]).strip()


def is_echo(text: str) -> bool:
    """Whether a rank that said this has lost another."""
    return bool(ECHO.search(text))
