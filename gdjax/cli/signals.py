"""SIGTERM and SIGINT: a command ends at once, so that half-written files are removed; a run at its next segment."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

# Seconds after which a signal comes again, whose exception was lost in a callback of the garbage collector.
AGAIN = 0.05
# Seconds in which a second signal is the same impatience: half-written files are being removed.
TWICE = 1.0
_raised: list[int] = []  # signals of this command


class Termination(BaseException):
    """SIGTERM as an exception, on which half-written files are removed."""

    code = 143  # with which the command ends


@contextlib.contextmanager
def terminating() -> Iterator[None]:
    """A context in which SIGTERM ends a command as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    heard = -math.inf

    def end(number: int, _: Any) -> None:
        nonlocal heard
        if time.monotonic() < heard + TWICE:
            return
        heard = time.monotonic()
        _raised.append(number)
        raise KeyboardInterrupt if number == signal.SIGINT else Termination

    def lost(unraisable: sys.UnraisableHookArgs) -> None:
        nonlocal heard
        if not isinstance(unraisable.exc_value, (KeyboardInterrupt, Termination)) or not _raised:
            return hook(unraisable)
        heard = -math.inf
        later.append(threading.Timer(AGAIN, os.kill, (os.getpid(), _raised[-1])))
        return later[-1].start()

    _raised.clear()
    later: list[threading.Timer] = []
    hook, sys.unraisablehook = sys.unraisablehook, lost
    before = {n: signal.signal(n, end) for n in _heard()}
    try:
        yield
    finally:
        for timer in later:
            timer.cancel()
        sys.unraisablehook = hook
        for n, handler in before.items():
            signal.signal(n, handler)


def raise_lost() -> None:
    """Raise for a signal that has come, whose exception was lost; for loops that wait."""
    if _raised:
        raise KeyboardInterrupt if _raised[0] == signal.SIGINT else Termination


def _heard() -> list[int]:
    """The signals that the process was not started to ignore."""
    return [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]


@contextlib.contextmanager
def noting(last_words: Callable[[], str]) -> Iterator[list[int]]:
    """A list of the SIGTERM and SIGINT that have come, to be read between the segments of a run.

    A second SIGINT ends the process at once, also in the middle of compiled code, after `last_words` are called and written
    on stderr. A signal that the process was started to ignore stays ignored; one that came before and whose exception was
    lost is in the list from the start.
    """
    received = list(_raised)
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {n: signal.signal(n, lambda n, _: received.append(n)) for n in _heard()}
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    woken = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_at_the_second, args=(reader, last_words), daemon=True).start()
    try:
        yield received
    finally:
        signal.set_wakeup_fd(woken)
        for n, handler in before.items():
            signal.signal(n, handler)
        writer.close()


def _end_at_the_second(reader: socket.socket, last_words: Callable[[], str]) -> None:
    """Read the number of each signal, which Python writes there even while the main thread is in compiled code."""
    count = 0
    with reader:
        while numbers := reader.recv(64):
            count += numbers.count(signal.SIGINT)
            if count > 1:
                os.write(2, f"gdjax: {last_words()}\n".encode())
                os._exit(128 + signal.SIGINT)
