"""Ctrl-C during a run, which ends it at its next segment."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def listening() -> Iterator[list[int]]:
    """A list that is not empty after Ctrl-C, to be read between segments; a second Ctrl-C raises as usual."""
    signals: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return

    def note(number, frame):
        signals.append(number)
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield signals
    finally:
        signal.signal(signal.SIGINT, previous)
