"""The folder of a sweep, from which it goes on after any end.

sweep.json        what identifies it
blocks/NAME.npz   what became of the lanes of a block, once all have stopped
blocks/NAME/      the checkpoints of a block that is running: RunStates with two more axes
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gdjax import tree
from gdjax.files import remove_folder, replacing, write_whole
from gdjax.sweeps.blocks import Block, Outcome, Running, pack, start_block, unpack
from gdjax.sweeps.study import Study
from gdjax.training import CheckpointError, Checkpoints
from gdjax.training.identity import differences, full_identity

SECONDS = 30.0  # between the checkpoints of a block


class Nowhere:
    """A sweep that is kept in no folder."""

    def outcomes(self, study: Study, block: Block) -> list[Outcome] | None:
        """Those of a block that has been run."""
        return None

    def begin(self, study: Study, block: Block, start: Callable[[Study, Block], Running] = start_block) -> Running:
        """A block where it goes on, or from its start."""
        return start(study, block)

    def save(self, study: Study, block: Block, running: Running, last: bool = False) -> None:
        """Keep a block that is running; at once if it is the last segment before an interruption."""

    def finish(self, study: Study, block: Block, outcomes: list[Outcome]) -> None:
        """Keep what became of a block."""


class Store(Nowhere):
    """A sweep in a folder.

    Raises: CheckpointError if the folder is not of this sweep, or is there and `resume` is not said.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], resume: bool):
        self.folder = folder
        self.identity = full_identity("sweep", identity)
        self._open: dict[str, tuple[Checkpoints, float]] = {}
        place = folder / "sweep.json"
        if place.exists():
            self._check(json.loads(place.read_text()), resume)
        else:
            (folder / "blocks").mkdir(parents=True, exist_ok=True)
            write_whole(place, json.dumps(self.identity, indent=1))

    def _check(self, there: Any, resume: bool) -> None:
        if not resume:
            raise CheckpointError(f"sweep: {self.folder} holds a sweep already: choose another folder, or resume it")
        if differ := differences(there, self.identity):
            raise CheckpointError(f"sweep: {self.folder} is of another sweep: {'; '.join(differ)}")

    def _place(self, block: Block) -> Path:
        return self.folder / "blocks" / block.name

    def _checkpoints(self, block: Block) -> Checkpoints:
        if block.name not in self._open:
            checkpoints = Checkpoints(self._place(block), self.identity | {"block": block.name}, keep_last=1)
            self._open[block.name] = checkpoints, time.monotonic()
        return self._open[block.name][0]

    def outcomes(self, study: Study, block: Block) -> list[Outcome] | None:
        file = self._place(block).with_suffix(".npz")
        return read_outcomes(file, study) if file.exists() else None

    def begin(self, study: Study, block: Block, start: Callable[[Study, Block], Running] = start_block) -> Running:
        fresh = start(study, block)
        if not self._place(block).is_dir():
            return fresh
        restored = self._checkpoints(block).restore(pack(fresh))
        return fresh if restored is None else unpack(restored[0])

    def save(self, study: Study, block: Block, running: Running, last: bool = False) -> None:
        checkpoints, before = self._checkpoints(block), self._open[block.name][1]
        if last or time.monotonic() - before >= SECONDS:
            checkpoints.save(pack(running))
            self._open[block.name] = checkpoints, time.monotonic()
        if last:
            checkpoints.close()

    def finish(self, study: Study, block: Block, outcomes: list[Outcome]) -> None:
        with replacing(self._place(block).with_suffix(".npz")) as draft, draft.open("wb") as file:
            np.savez(file, **columns_of(outcomes))  # type: ignore[arg-type]
        if checkpoints := self._open.pop(block.name, None):
            checkpoints[0].close()
        if self._place(block).is_dir():
            remove_folder(self._place(block))


def columns_of(outcomes: list[Outcome]) -> dict[str, np.ndarray]:
    """The outcomes as arrays: a row for each, histories with NaN behind their end, parameters by the number of the leaf."""
    length = max(len(each.history["epoch"]) for each in outcomes)

    def pad(rows: np.ndarray) -> np.ndarray:
        rest = np.zeros((length - len(rows), *rows.shape[1:]), rows.dtype)
        return np.concatenate([rows, rest])

    plain = {name: np.array([getattr(each, name) for each in outcomes]) for name in Outcome._fields[:-2]}
    plain["evaluations"] = np.array([len(each.history["epoch"]) for each in outcomes])
    history = {
        f"history.{name}": np.stack([pad(each.history[name]) for each in outcomes]) for name in outcomes[0].history
    }
    leaves = [jax.tree.leaves(tree.part(each.params)) for each in outcomes]
    params = {f"params.{i}": np.stack(leaf) for i, leaf in enumerate(zip(*leaves, strict=True))}
    return {**plain, **history, **params}


def read_outcomes(file: Path, study: Study) -> list[Outcome]:
    """The outcomes that `columns_of` wrote.   Raises: CheckpointError if the file is damaged."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as read:
            columns = {name: read[name] for name in read.files}
    except Exception as error:
        raise CheckpointError(f"sweep: {file} is damaged: {error}") from error
    structure = study.params_structure
    leaves = [columns[name] for name in columns if name.startswith("params.")]

    def outcome(i: int) -> Outcome:
        done = columns["evaluations"][i]
        history = {name[8:]: x[i, :done] for name, x in columns.items() if name.startswith("history.")}
        plain = {name: columns[name][i].item() for name in Outcome._fields[:-2]}
        params = structure and tree.whole(structure.unflatten([leaf[i] for leaf in leaves]))
        return Outcome(**plain, history=history, params=params)

    return [outcome(i) for i in range(len(columns["seed"]))]
