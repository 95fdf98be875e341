"""Which rank is to blame when a job fails, and whether the job starts again; without processes."""

from __future__ import annotations

import math
import signal
from collections.abc import Sequence
from typing import NamedTuple

MISTAKE = 2  # the exit code for a mistake of the user's, which no restart cures
ASKED = (130, 143)  # the exit codes of a command that was asked to end
TAKEN = "cannot listen at"  # what rank 0 says of a port that another program has taken


class End(NamedTuple):
    """How a rank was found when the job had failed."""

    rank: int
    code: int | None  # as of subprocess: -9 after SIGKILL; None for one that still runs
    seconds: float  # from the start to its end, or now
    silent: float = 0.0  # seconds since it was last heard; inf if nobody knows how it has ended
    text: str = ""  # the last that it said
    is_echo: bool = False  # whether it ended because it had lost another rank


class Past(NamedTuple):
    """The failures since the run's last progress."""

    failures: int = 0
    first: End | None = None
    step: int | None = None  # the newest that was saved at the last of them; None for none


def culprit(ends: Sequence[End]) -> End:
    """The rank that was the first to fail.

    One that has ended for a reason of its own, else the one that was not heard for longest, else the first that ended. Of a
    mistake that all ranks have found, rank 0 has told.
    """
    ended = sorted((end for end in ends if end.code), key=lambda end: end.seconds)
    own = [end for end in ended if not end.is_echo]
    silent = max((end for end in ends if end.code is None), key=lambda end: end.silent, default=None)
    if own:
        return min((end for end in own if end.code == MISTAKE), key=lambda end: end.rank, default=own[0])
    return silent if silent is not None and (silent.silent > 3 or not ended) else ended[0]


def after(past: Past, failure: End, step: int | None, begun: int | None) -> Past:
    """The past with one more failure.

    Args:
        step: the newest that is saved now.
        begun: the newest that was saved before the job began.
    """
    before = begun if past.step is None else past.step
    if step is not None and (before is None or step > before):
        return Past(1, failure, step)
    return Past(past.failures + 1, past.first or failure, past.step)


def last_failure(past: Past, failure: End, most: int, other_port: bool = False) -> End | None:
    """The failure with which the job ends after this one, the last of the past; None if it starts again.

    It ends with a mistake of the user's, with an error before anything was saved, which would come again, and with the first
    failure when as many restarts as are allowed have saved nothing.

    Args:
        other_port: whether the next attempt takes another port, so that one that is taken is no error.
    """
    is_error = failure.code is not None and failure.code > 0 and failure.code not in ASKED and not failure.is_echo
    is_error = is_error and not (other_port and TAKEN in failure.text)
    if failure.code == MISTAKE or (is_error and past.step is None):
        return failure
    return past.first if past.failures > most else None


def exit_code(failure: End) -> int:
    """The exit code of a job that ends with this failure."""
    if failure.code is None:
        return 1
    return failure.code if failure.code > 0 else 128 - failure.code


def how(end: End) -> str:
    """What has become of a rank, in words."""
    if end.code is None and end.silent == math.inf:
        return "was lost"
    if end.code is None:
        return f"was not heard for {end.silent:.0f} s"
    if end.code < 0:
        return f"was ended by {_name(-end.code)}"
    return f"ended with exit code {end.code}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a signal of real time
        return f"signal {number}"
