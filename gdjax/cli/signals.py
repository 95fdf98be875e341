"""SIGTERM ends a command as Ctrl-C does, so that half-written files are removed."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Termination(BaseException):
    """SIGTERM as an exception, on which half-written files are removed."""


@contextlib.contextmanager
def terminating() -> Iterator[None]:
    """A context in which SIGTERM ends a command as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: Any) -> None:
        raise Termination

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
