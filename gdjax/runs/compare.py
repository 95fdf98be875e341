"""Runs side by side: a list of the runs below a folder, and the differences of two."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gdjax.runs.arrays import NAME as PARAMETERS
from gdjax.runs.arrays import check_files
from gdjax.runs.config import RunConfig
from gdjax.runs.damage import RecordError, reading
from gdjax.runs.folder import end_of, read_config
from gdjax.runs.json_text import from_text, read_bytes
from gdjax.runs.records import as_history, is_being_written, read_records
from gdjax.training.checkpoints import steps_in

CHECKPOINTS = "checkpoints"
OF_THE_DAY = ("command", "started", "version")  # fields of a config that tell nothing of the run itself


@dataclasses.dataclass(frozen=True)
class Overview:
    """What is known of a run without its parameters."""

    folder: Path
    status: str  # its stop reason, or: going on, unfinished: ..., damaged: ...
    config: RunConfig | None = None
    history: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    result: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def epochs(self) -> float:
        return self._last("epoch", 0.0)

    @property
    def seconds(self) -> float:
        """Of training, without those of compiling."""
        return float(self.result.get("seconds") or self._last("seconds", np.nan))

    @property
    def best(self) -> str:
        """The monitored metric with its best value so far."""
        if "monitor" in self.result:
            value = self.result.get("best_value")
            return "" if value is None else f"{self.result['monitor']} {value:.4g}"
        losses = self.history.get("validation_loss", np.zeros(0))
        return f"validation loss {np.nanmin(losses):.4g}" if np.isfinite(losses).any() else ""

    def _last(self, name: str, otherwise: float) -> float:
        values = self.history.get(name, np.zeros(0))
        return float(values[-1]) if len(values) else otherwise


def list_runs(place: str | os.PathLike[str]) -> list[Overview]:
    """The runs in a folder and in the folders below it, in the order of their paths."""
    found = []
    for folder, below, files in os.walk(place):
        if "config.json" in files:
            found.append(overview(Path(folder)))
            below.clear()
        below[:] = sorted(name for name in below if not name.startswith("."))
    return found


def overview(folder: Path) -> Overview:
    """What is known of the run in a folder; a damaged one has a status that says why."""
    try:
        config, end = read_config(folder), end_of(folder)
        with reading(folder):
            return _overview(folder, config, end)
    except RecordError as error:
        return Overview(folder, f"damaged: {str(error).removeprefix(f'{folder} is damaged: ')}")


def _overview(folder: Path, config: RunConfig, end: str | None) -> Overview:
    records, results = folder / "metrics.jsonl", folder / "result.json"
    written = results.exists()
    history = as_history(read_records(records)) if records.exists() or written else {}
    if written:
        check_files(folder)
    if end is not None:
        return Overview(folder, end, config, history, from_text(read_bytes(results)))
    word = "going on" if is_being_written(records) else "interrupted" if written else "unfinished"
    steps = saved_steps(folder)
    return Overview(
        folder, f"{word}: step {steps[-1]} is saved" if steps else f"{word}: no checkpoint", config, history
    )


def saved_steps(folder: Path) -> list[int]:
    """The steps of the run's checkpoints, in order."""
    return steps_in(folder / CHECKPOINTS)


def differences(one: RunConfig, other: RunConfig) -> dict[str, tuple[Any, Any]]:
    """The fields that differ, data.hash and versions.jax among them, with both values."""
    flat, others = (_flatten(config.to_json()) for config in (one, other))
    names = [name for name in dict.fromkeys([*flat, *others]) if name not in OF_THE_DAY]
    return {name: (flat.get(name), others.get(name)) for name in names if flat.get(name) != others.get(name)}


def _flatten(fields: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat |= _flatten(value, f"{place}{name}.") if isinstance(value, Mapping) else {place + name: value}
    return flat


def parameters_apart(one: Overview, other: Overview) -> str:
    """How far the parameters of two runs are from each other, in a few words; "" unless both are finished."""
    if not (one.result and other.result):
        return ""
    first, second = (_parameters(each.folder) for each in (one, other))
    if {name: (x.shape, x.dtype) for name, x in first.items()} != {
        name: (x.shape, x.dtype) for name, x in second.items()
    }:
        return "of other shapes"
    if all(x.tobytes() == second[name].tobytes() for name, x in first.items()):
        return "equal to the last bit"
    far = max(float(np.max(np.abs(x - second[name]), initial=0.0)) for name, x in first.items())
    return f"differ by at most {far:.2g}"


def _parameters(folder: Path) -> dict[str, np.ndarray]:
    with reading(folder), np.load(folder / PARAMETERS, allow_pickle=False) as file:
        return {name: file[name] for name in file if name.startswith(("params", "model_state"))}
