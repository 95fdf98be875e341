"""Batches of a loader: any iterable of batches, read pass after pass, with the position that a run needs to go on."""

from __future__ import annotations

import base64
import collections
import copy
import threading
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from gdjax.data.arrays import Dataset, num_rows
from gdjax.data.rows import as_leaves
from gdjax.data.stream import is_source
from gdjax.types import Batch

MARK = 256  # batches after which the loader is asked again where it stands
BYTES = "base64 bytes"


class Batches:
    """The batches of a loader by their number since the first; `fit` and `segments` take it, or the loader alone, as data.

    A loader is iterated anew for each epoch; an iterator, such as a generator, is used up once. Some batches are read ahead.
    To stop and go on exactly, the loader must have `state_dict` and `load_state_dict`, or its iterator `get_state` and
    `set_state`; then a loop saves the position beside its state:

        batches = gd.data.Batches(loader)
        for run_state in segments(run, run_state, batches, until=100):
            checkpoints.save(run_state, batches.state_dict())
        ...
        run_state, position = checkpoints.restore(run_state)
        batches.load_state_dict(position)

    Under a placement over several processes the loader of each must give the same batches, whole: of each the process takes
    the rows that its devices need. That they begin with the same one is verified.

    Args:
        loader: any object with `__iter__`, a torch DataLoader or a grain dataset. Its batches are pytrees of arrays or
            tensors that share their leading axis; a list, such as torch makes of a pair, becomes a tuple. If it has
            `__len__`, this must be the number of batches in a pass.

    >>> batches = gd.data.Batches([(jnp.zeros(2), jnp.ones(2))] * 3)
    >>> print(batches, batches.per_pass)
    Batches of a list, at 0 3
    """

    loader: Any

    position: int  # the number of the next batch that the run takes
    per_pass: int | None  # batches in a pass; None before this is known
    used_up: bool  # whether the loader is an iterator that has ended

    def __init__(self, loader: Any):
        self.loader, self.position, self.per_pass, self.used_up = loader, 0, _length(loader), False
        self._kept: collections.deque[Batch] = collections.deque()  # from `position` on
        self._iterator: Iterator[Any] | None = None
        self._in_pass = 0  # batches read in this pass
        self._starts: list[int] = []  # numbers of the first batches of the passes that are kept
        self._marks: list[
            tuple[int, int, Any]
        ] = []  # batches read, in all and in the pass, and the loader's state there
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"Batches of a {type(self.loader).__name__}, at {self.position}"

    @property
    def read(self) -> int:
        """How many batches have been read from the loader."""
        return self.position + len(self._kept)

    @property
    def is_restorable(self) -> bool:
        """Whether the loader says where it stands."""
        return self._has_state() or hasattr(self._iterator, "get_state")

    def get(self, number: int) -> Batch | None:
        """A batch that is kept or comes next, its leaves on the host; None if the loader is used up before it."""
        with self._lock:
            while self.read <= number:
                if not self._read():
                    return None
            return self._kept[number - self.position]

    def starts_pass(self, number: int) -> bool:
        """Whether a batch that has been read is the first of a pass."""
        return number in self._starts

    def release(self, number: int) -> None:
        """Forget the batches before this one, which the run has taken."""
        with self._lock:
            while self.position < number:
                self._kept.popleft()
                self.position += 1
            self._starts = [start for start in self._starts if start >= number]
            before = [mark for mark in self._marks if mark[0] <= number]
            self._marks = [*before[-1:], *(mark for mark in self._marks if mark[0] > number)]

    def state_dict(self) -> dict[str, Any] | None:
        """The position: the loader's own state at some batch before it, and how many to read from there.

        None if the loader has no state that can be restored.
        """
        with self._lock:
            if not self._marks:
                self._mark()
            read, in_pass, state = [mark for mark in self._marks if mark[0] <= self.position][-1]
            if state is None:
                return None
            return {
                "position": self.position,
                "read": read,
                "in_pass": in_pass,
                "per_pass": self.per_pass,
                "loader": copy.deepcopy(state),
            }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a position that `state_dict` gave, of this loader or one like it."""
        with self._lock:
            self._kept.clear()
            self._starts, self._marks = [], []
            self.position, self.used_up, self._iterator = state["read"], False, None
            self.per_pass = state["per_pass"] if self.per_pass is None else self.per_pass
            there = copy.deepcopy(state["loader"])
            if isinstance(there, dict) and there.keys() == {BYTES}:
                there = base64.b64decode(there[BYTES])
            if self._has_state():
                self.loader.load_state_dict(there)
                self._begin_pass()
            else:
                self._begin_pass()
                self._iterator.set_state(there)  # type: ignore[union-attr]
            self._in_pass, self._starts = state["in_pass"], []
            self._mark()
            while self.read < state["position"] and self._read():
                pass
            self.release(state["position"])

    def check_position(self, who: str, number: int) -> None:
        """Raise ValueError unless the run, which has taken so many batches, can go on here."""
        kind = type(self.loader).__name__
        if number == self.position:
            return
        self._mark()
        if not self.is_restorable:
            raise ValueError(
                f"{who}: a run on a {kind} cannot be resumed, since a {kind} does not say where it stands: it has no "
                "state_dict and load_state_dict, and its iterator no get_state and set_state"
            )
        raise ValueError(
            f"{who}: the data must stand where the run does, at batch {number}, got a {kind} at batch {self.position}; to "
            "resume write batches = gd.data.Batches(loader), save batches.state_dict() with the run's state, and load both"
        )

    def _read(self) -> bool:
        """Read one batch, from the next pass if this one has ended. Returns: False if there is none."""
        while not self.used_up:
            if self._iterator is None or self.read - self._marks[-1][0] >= MARK:
                self._mark()
            try:
                batch = next(self._iterator)  # type: ignore[arg-type]
            except StopIteration:
                self._end_pass()
                continue
            if self._in_pass == 0:
                self._starts.append(self.read)
            self._kept.append(self._convert(batch))
            self._in_pass += 1
            return True
        return False

    def _mark(self) -> None:
        """Note where the loader stands, if it says so; `state_dict` counts from there."""
        if self._iterator is None and not self.used_up:
            self._begin_pass()
        self._marks.append((self.read, self._in_pass, self._state() if self.is_restorable else None))

    def _begin_pass(self) -> None:
        self._iterator, self._in_pass = iter(self.loader), 0

    def _end_pass(self) -> None:
        kind, count, length = type(self.loader).__name__, self._in_pass, _length(self.loader)
        if count == 0 and not isinstance(self.loader, Iterator):
            raise ValueError(f"a {kind} must give at least one batch in a pass, got none")
        if length is not None and count != length:
            raise ValueError(f"a {kind} must give as many batches in a pass as its length says, {length}, got {count}")
        self.per_pass = self.per_pass or count
        self._iterator, self.used_up = None, isinstance(self.loader, Iterator)

    def _convert(self, batch: Any) -> Batch:
        """The batch with leaves of NumPy."""
        who = f"batch {self._in_pass} of a {type(self.loader).__name__}"
        batch = as_leaves(who, tuple(batch) if type(batch) is list else batch)
        try:
            num_rows(batch)
        except ValueError as error:
            raise ValueError(f"{who}: {str(error).removeprefix('num_rows: ')}") from None
        return jax.tree.map(np.asarray, batch)

    def _has_state(self) -> bool:
        return hasattr(self.loader, "state_dict") and hasattr(self.loader, "load_state_dict")

    def _state(self) -> Any:
        """What the loader says of where it stands; bytes as text, since a checkpoint holds JSON."""
        state = self.loader.state_dict() if self._has_state() else self._iterator.get_state()  # type: ignore[union-attr]
        return {BYTES: base64.b64encode(state).decode()} if isinstance(state, bytes) else copy.deepcopy(state)


def is_loader(data: Any) -> bool:
    """Whether data give batches one after the other: an iterable that is no array, table, source, text or pytree.

    >>> print(gd.data.is_loader(range(3)), gd.data.is_loader(jnp.arange(3)))
    True False
    """
    if isinstance(data, Batches):
        return True
    if isinstance(data, (str, bytes, type, Dataset)) or hasattr(data, "dtype") or hasattr(data, "__array__"):
        return False
    return hasattr(data, "__iter__") and not is_source(data) and jax.tree_util.all_leaves([data])


def _length(loader: Any) -> int | None:
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return None
