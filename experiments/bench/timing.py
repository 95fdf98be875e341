"""Timing of the benchmarks: candidates are interleaved, medians are compared, and the spread is shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np


def interleave(candidates: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, np.ndarray]:
    """The seconds of all calls of each candidate, after a warm-up call; the candidates are interleaved."""
    for call in candidates.values():
        jax.block_until_ready(call())
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for i in range(repeats):
        order = list(candidates) if i % 2 == 0 else list(reversed(candidates))
        for name in order:
            before = time.perf_counter()
            jax.block_until_ready(candidates[name]())
            seconds[name].append(time.perf_counter() - before)
    return {name: np.array(values) for name, values in seconds.items()}


class Timing(NamedTuple):
    """The seconds of a candidate."""

    first: float  # wall time of the first call, which compiles
    wall: np.ndarray  # of each later one
    cpu: np.ndarray  # of all threads


def measure(candidates: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Timing]:
    """Wall time and CPU time of all calls of each candidate; the candidates are interleaved."""
    first = {name: _seconds(call)[0] for name, call in candidates.items()}
    both: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for i in range(repeats):
        for name in list(candidates) if i % 2 == 0 else list(reversed(candidates)):
            both[name].append(_seconds(candidates[name]))
    return {name: Timing(first[name], *np.array(each).T) for name, each in both.items()}


def _seconds(call: Callable[[], Any]) -> tuple[float, float]:
    before = time.perf_counter(), time.process_time()
    jax.block_until_ready(call())
    return time.perf_counter() - before[0], time.process_time() - before[1]


def ratio(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """The median of the round-by-round ratios, and the quarter of rounds on either side of it."""
    return tuple(float(q) for q in np.quantile(ours / theirs, [0.5, 0.25, 0.75]))  # type: ignore[return-value]
