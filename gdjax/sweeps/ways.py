"""How the runs of a sweep are computed: side by side or in turn, and how many at a time.

The rule is fixed by the kind of device and the sizes, and never by a measurement at run time, since it is part of the bits:
a matrix product of another width is added up in another order. `experiments/bench/sweep_cost.py` measured it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax

from gdjax.text import counted
from gdjax.training.identity import cores

SMALL = 5_000  # parameters up to which lanes side by side are cheaper on a CPU: above, a run alone fills a core
CPU_LANES = 32
IN_TURN = 16  # runs of a block, after each of which another core may take the next
ACCELERATOR_LANES = 1024
BUDGET = 1 << 30  # bytes of all lanes that run at a time, if nothing else is said
COPIES = 4  # of a lane's state at the same time: before and after a part of a period, gradients, updates


class Way(NamedTuple):
    """How lanes are computed.

    >>> print(gd.sweeps.Way("side by side", 2, 16))
    16 configurations of each of 2 seeds side by side
    """

    kind: str  # "side by side" or "in turn"
    groups: int  # seeds in a block
    width: int  # configurations of each seed in a block

    def __str__(self) -> str:
        return f"{counted(self.width, 'configuration')} of each of {counted(self.groups, 'seed')} {self.kind}"


def choose_way(
    configurations: int,
    seeds: int,
    parameters: int,
    lane_bytes: int,
    stops: bool,
    memory: int | None = None,
    width: int | None = None,
) -> Way:
    """The way for so many lanes.

    On a CPU, runs go side by side only if they are small and all run to the end: a lane that has stopped is computed on with
    its block, and in turn it costs nothing. On an accelerator they always do, where a wider operation takes hardly longer.

    Args:
        parameters: numbers in the parameters of a lane.
        lane_bytes: at most, of a lane that runs.
        stops: whether a condition may stop a run before its end.
        memory: bytes for all lanes that run at a time (default: BUDGET).
        width: lanes in a block, where the user says it.
    """
    on_cpu = jax.default_backend() == "cpu"
    in_turn = on_cpu and (stops or parameters > SMALL)
    budget = (BUDGET if memory is None else memory) // workers()
    fitting = max(1, budget // lane_bytes)
    usual = IN_TURN if in_turn else CPU_LANES if on_cpu else ACCELERATOR_LANES
    lanes = max(1, min(width or usual, fitting))
    wide = _even(configurations, lanes)
    return Way("in turn" if in_turn else "side by side", _even(seeds, max(1, lanes // wide)), wide)


def workers() -> int:
    """Blocks at a time on one device: as many as there are cores on a CPU, whose operations are small."""
    return (cores() or 1) if jax.default_backend() == "cpu" else 1


def _even(number: int, most: int) -> int:
    """The size of the fewest parts of at most so many, as equal as can be."""
    parts = -(-number // most)
    return -(-number // parts)
