"""Timing of the benchmarks: candidates are interleaved, medians are compared, and the spread is shown."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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


def ratio(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """The median of the round-by-round ratios, and the quarter of rounds on either side of it."""
    return tuple(float(q) for q in np.quantile(ours / theirs, [0.5, 0.25, 0.75]))  # type: ignore[return-value]


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """The parser that every benchmark starts from."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--repeats", type=int, default=15, help="rounds of the interleaved timing")
    return parser


def write(path: Path | None, figures: Mapping[str, Any]) -> None:
    device = jax.devices()[0]
    about = {"device": f"{device.platform}: {device.device_kind}", "jax": jax.__version__}
    if path is not None:
        path.write_text(json.dumps({**about, **figures}, indent=2) + "\n")
