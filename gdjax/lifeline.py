"""The line between a rank of `gdjax launch` and its launcher, over which each sees that the other lives.

A rank beats from a thread, which its compiled programs do not hold up; a process that is stopped has no threads that run.
When the launcher ends, however it ends, the operating system closes its side, and the rank ends too.
"""

from __future__ import annotations

import os
import signal
import socket
import threading

LIFELINE = "GDJAX_LIFELINE"  # the environment's name for the number of the rank's socket
PERIOD = 1.0  # seconds between two beats


def hold_lifeline() -> None:
    """Beat for the launcher, and end with it, if this process is a rank of one."""
    if number := os.environ.pop(LIFELINE, ""):
        os.set_inheritable(int(number), False)
        threading.Thread(target=_beat, args=(socket.socket(fileno=int(number)),), daemon=True).start()


def _beat(line: socket.socket) -> None:
    """Send a byte in each period until the line is closed."""
    line.settimeout(PERIOD)
    while _is_held(line):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _is_held(line: socket.socket) -> bool:
    """Whether the launcher is there, after a beat and a period."""
    try:
        line.send(b".")  # waits as `recv` does where a launcher that is stopped does not read
        return bool(line.recv(1))
    except TimeoutError:
        return True
    except OSError:
        return False
