"""SIGTERM ends a command as Ctrl-C does: what is half written is taken back."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Termination(BaseException):
    """SIGTERM, as an exception: what is half written is taken back on its way."""


@contextlib.contextmanager
def terminating() -> Iterator[None]:
    """Around a command, which a SIGTERM ends like Ctrl-C."""
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
