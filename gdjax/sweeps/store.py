"""The folder of a sweep, from which it goes on after any end.

sweep.json        what identifies it
blocks/NAME.npz   what became of the lanes of a block, once all have stopped
blocks/NAME/      the checkpoints of a block that is running: RunStates with two more axes
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.files import remove_folder, replacing, write_whole
from gdjax.sweeps.blocks import Block, Outcome, Running, pack, start_block, unpack
from gdjax.sweeps.study import Study
from gdjax.sweeps.ways import Way
from gdjax.training import CheckpointError, Checkpoints
from gdjax.training.identity import differences, full_identity

try:
    import fcntl
except ImportError:  # Windows
    fcntl: Any = None

NAME = "sweep.json"
KEPT = ("params", "model_state")  # trees of an outcome
PLAIN = tuple(name for name in Outcome._fields if name not in ("history", *KEPT))
SECONDS = 30.0  # between the checkpoints of a block
ELSEWHERE = ("versions", "cores", "platform", "ways")  # what may differ where the bits may


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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: Any) -> None:
        """End the work of this process."""


class Store(Nowhere):
    """A sweep in a folder.

    Raises: CheckpointError if the folder is not of this sweep, or is there and `resume` is not said.
    """

    folder: Path
    identity: dict[str, Any]

    def __init__(self, folder: Path, identity: Mapping[str, Any], resume: bool, allow_versions: bool = False):
        self.folder = folder
        self.identity = full_identity("sweep", identity)
        self._ignore = ELSEWHERE if allow_versions else ()
        self._open: dict[str, tuple[Checkpoints, float]] = {}
        if resume or folder.exists():
            self._check(resume)
        else:
            self._make()

    def _make(self) -> None:
        try:
            (self.folder / "blocks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"sweep: {self.folder} cannot be made: {error.strerror}") from error
        write_whole(self.folder / NAME, json.dumps(self.identity, indent=1))

    def _check(self, resume: bool) -> None:
        """Raise CheckpointError unless this folder holds this sweep, and is to go on; an empty one holds none yet."""
        place = self.folder / NAME
        if not place.is_file():
            if self.folder.is_dir() and not resume and not any(self.folder.iterdir()):
                return self._make()
            what = "holds no sweep to go on with" if resume else "is there already, and no sweep"
            raise CheckpointError(f"sweep: {self.folder} {what}")
        if not resume:
            raise CheckpointError(f"sweep: {self.folder} holds a sweep already: choose another folder, or resume it")
        try:
            there = json.loads(place.read_text())
        except ValueError as error:
            raise CheckpointError(f"sweep: {place} is damaged: {error}") from error
        if differ := differences(there, self.identity, self._ignore):
            raise CheckpointError(f"sweep: {self.folder} is of another sweep: {'; '.join(differ)}")
        self.identity = there
        return None

    @property
    def ways(self) -> list[Way]:
        """The ways of its studies, as they were when it was begun."""
        return [Way(**way) for way in self.identity["ways"]]

    def __enter__(self) -> Self:
        self._lock = stack = contextlib.ExitStack()
        file = stack.enter_context((self.folder / "lock").open("w"))
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stack.close()
            raise CheckpointError(f"sweep: another process works on {self.folder}") from None
        return self

    def __exit__(self, *raised: Any) -> None:
        self._lock.close()
        (self.folder / "lock").unlink(missing_ok=True)

    def _place(self, block: Block) -> Path:
        return self.folder / "blocks" / block.name

    def _checkpoints(self, block: Block) -> Checkpoints:
        if block.name not in self._open:
            checkpoints = Checkpoints(self._place(block), self.identity | {"block": block.name}, keep_last=1)
            self._open[block.name] = checkpoints, time.monotonic()
        return self._open[block.name][0]

    def outcomes(self, study: Study, block: Block) -> list[Outcome] | None:
        file = self._place(block).with_suffix(".npz")
        if not file.exists():
            return None
        if self._place(block).is_dir():  # where the process ended before it was removed
            remove_folder(self._place(block))
        return read_outcomes(file, study)

    def begin(self, study: Study, block: Block, start: Callable[[Study, Block], Running] = start_block) -> Running:
        fresh = start(study, block)
        if not self._place(block).is_dir():
            return fresh
        restored = self._checkpoints(block).restore(pack(fresh), ignore=self._ignore)
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
    """The outcomes as arrays: a row for each, histories with 0 behind their end, parameters and model state by the number of
    the leaf.

    A dtype that NumPy has no name for, such as bfloat16, is kept as whole numbers, beside its name.
    """
    length = max(len(each.history["epoch"]) for each in outcomes)

    def pad(rows: np.ndarray) -> np.ndarray:
        rest = np.zeros((length - len(rows), *rows.shape[1:]), rows.dtype)
        return np.concatenate([rows, rest])

    plain = {name: np.array([getattr(each, name) for each in outcomes]) for name in PLAIN}
    plain["evaluations"] = np.array([len(each.history["epoch"]) for each in outcomes])
    history = {
        f"history.{name}": np.stack([pad(each.history[name]) for each in outcomes]) for name in outcomes[0].history
    }
    kept = {}
    for name in KEPT:
        leaves = [jax.tree.leaves(tree.part(getattr(each, name))) for each in outcomes]
        kept |= {f"{name}.{i}": np.stack(leaf) for i, leaf in enumerate(zip(*leaves, strict=True))}
    return dict(_as_numpy(name, x) for name, x in {**plain, **history, **kept}.items())


def _as_numpy(name: str, x: np.ndarray) -> tuple[str, np.ndarray]:
    return (f"{name}:{x.dtype.name}", x.view(f"u{x.dtype.itemsize}")) if x.dtype.kind == "V" else (name, x)


def _from_numpy(name: str, x: np.ndarray) -> tuple[str, np.ndarray]:
    name, _, dtype = name.partition(":")
    return name, x.view(jnp.dtype(dtype)) if dtype else x


def read_outcomes(file: Path, study: Study) -> list[Outcome]:
    """The outcomes that `columns_of` wrote.   Raises: CheckpointError if the file is damaged."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as read:
            columns = dict(_from_numpy(name, read[name]) for name in read.files)
            missing = {*PLAIN, "evaluations"} - columns.keys()
            if missing:
                raise ValueError(f"it lacks {min(missing)}")
    except Exception as error:
        raise CheckpointError(f"sweep: {file} is damaged: {error}") from error
    structures = study.kept_structures or ()

    def of_leaves(name: str, structure: Any, i: int) -> Any:
        leaves = [columns[f"{name}.{j}"][i] for j in range(structure.num_leaves)]
        return tree.whole(structure.unflatten(leaves))

    def outcome(i: int) -> Outcome:
        done = columns["evaluations"][i]
        history = {name[8:]: x[i, :done] for name, x in columns.items() if name.startswith("history.")}
        plain = {name: columns[name][i].item() for name in PLAIN}
        kept = {name: of_leaves(name, structure, i) for name, structure in zip(KEPT, structures, strict=False)}
        return Outcome(**plain, history=history, **kept)

    return [outcome(i) for i in range(len(columns["seed"]))]
