"""How the runs of a sweep are computed: side by side or in turn, and how many at a time.

The rule is fixed by the kind of device and the sizes, and never by a measurement at run time, since it is part of the bits:
a matrix product of another width is added up in another order. `experiments/bench/sweep_cost.py` measured it.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import jax

SMALL = 8_000  # parameters up to which lanes side by side are cheaper on a CPU: above, a run alone fills a core
CPU_LANES = 32
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
    floor: int = 0  # running lanes of a group from which on a block goes on in turn

    @property
    def lanes(self) -> int:
        """Lanes in a block."""
        return self.groups * self.width

    def __str__(self) -> str:
        return f"{self.width} configurations of each of {self.groups} seeds {self.kind}"


def choose_way(
    configurations: int,
    seeds: int,
    parameters: int,
    lane_bytes: int,
    memory: int | None = None,
    width: int | None = None,
) -> Way:
    """The way for so many lanes.

    Args:
        parameters: numbers in the parameters of a lane.
        lane_bytes: of its RunState and what a step computes with.
        memory: bytes for all lanes that run at a time (default: BUDGET).
        width: lanes in a block, where the user says it.
    """
    on_cpu = jax.default_backend() == "cpu"
    in_turn = on_cpu and parameters > SMALL
    fitting = max(1, (BUDGET if memory is None else memory) // (COPIES * lane_bytes))
    most = width or (CPU_LANES if on_cpu else ACCELERATOR_LANES)
    lanes = max(1, min(most, fitting))
    wide = _even(configurations, lanes)
    groups = _even(seeds, max(1, lanes // wide))
    if in_turn:
        return Way("in turn", groups, wide)
    return Way("side by side", groups, wide, wide // 2 if on_cpu else 0)  # elsewhere a lane that has stopped is cheap


def workers() -> int:
    """Blocks at a time on one device: as many as there are cores on a CPU, whose operations are small."""
    return len(os.sched_getaffinity(0)) if jax.default_backend() == "cpu" and hasattr(os, "sched_getaffinity") else 1


def _even(number: int, most: int) -> int:
    """The size of the fewest parts of at most so many, as equal as can be."""
    parts = -(-number // most)
    return -(-number // parts)
