"""When an attempt of a job is over: it is done, or a rank has failed, or is not heard any more."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gdjax.launch.ranks import TICK, Rank, wait_until

START = 60.0  # seconds until a rank must be heard for the first time
SILENCE = 30.0  # and then again; JAX, whose heartbeat is 10 s, ends the others before
SETTLING = 4.0  # in which those that fail together are seen together; rank 0 waits 3 s for the others


def watch(ranks: Sequence[Rank], signals: Sequence[int], grace: float) -> None:
    """Return when rank 0 has ended well, and the others too or after the grace, or when some rank has failed.

    Args:
        signals: those that the launcher has received, of which the first is handed on to all ranks.
    """
    last, is_forwarded = time.monotonic(), False
    while not _is_over(ranks):
        if signals and not is_forwarded:
            for rank in ranks:
                rank.send(signals[0])
            is_forwarded = True
        time.sleep(TICK)
        now = time.monotonic()
        for rank in ranks:
            rank.listen(min(now - last, 1.0))  # a launcher that was stopped itself has heard nobody
        last = now
    if ranks[0].code == 0:
        wait_until(lambda: all(rank.code is not None for rank in ranks), grace)
    else:
        wait_until(lambda: _is_clear(ranks), SETTLING)


def _is_over(ranks: Sequence[Rank]) -> bool:
    return ranks[0].code == 0 or any(rank.code or _is_lost(rank) for rank in ranks)


def _is_lost(rank: Rank) -> bool:
    return rank.code is None and rank.silent > (SILENCE if rank.was_heard else START)


def _is_clear(ranks: Sequence[Rank]) -> bool:
    """Whether no more is to be learned on who has failed: all have ended, or one was killed, or is lost."""
    ends = [rank.end() for rank in ranks]
    return all(end.code is not None for end in ends) or any(
        _is_lost(rank) or (end.code is not None and end.code < 0 and not end.is_echo)
        for rank, end in zip(ranks, ends, strict=True)
    )
