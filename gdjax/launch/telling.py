"""What a launcher says of a job that has failed."""

from __future__ import annotations

from gdjax.launch.policy import MISTAKE, End, Past, how


def of_restart(past: Past, failure: End, most: int, step: int | None) -> str:
    """The line on a job that starts again.

    Args:
        most: how many restarts may come without progress.
        step: the newest that is saved.
    """
    goes_on = "from the start" if step is None else f"from step {step}"
    count = f"restart {past.failures} of {most} without progress" if past.failures > 1 else "restart"
    return f"gdjax: rank {failure.rank} {how(failure)} after {failure.seconds:.0f} s: {count} {goes_on}"


def of_end(last: End, past: Past, left: str) -> str:
    """The lines on a job that ends with this failure.

    Args:
        left: what is left of the run, in words.
    """
    if last.code == MISTAKE:
        return last.text
    vain = past.failures - 1
    in_vain = f", and {vain} restart{'s' * (vain > 1)} brought nothing newer" if vain else ""
    said = [f"[rank {last.rank}] {line}" for line in last.text.splitlines()]
    return "\n".join([*said, f"gdjax: rank {last.rank} {how(last)} after {last.seconds:.0f} s{in_vain}: {left}"])
