"""What a compiled program reads in the place of the data, if they are not arrays in memory: a window of batches."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.data import batch_indices, batches_per_epoch
from gdjax.data.arrays import check_fits
from gdjax.training.step import ORDER
from gdjax.types import Batch

WINDOW = 1 << 24  # bytes of the batches that are gathered at once
MOST = 4096  # batches of a window
MANY = 8 * WINDOW  # bytes of the memory for windows of all shapes
BLOCK = 64  # batches whose row numbers are computed in one call


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Staged:
    """Consecutive batches of a run, the first of them number `first`; after the last of them come rows of no meaning."""

    rows: Batch  # leaves (batches batch_size, ...)
    mask: jax.Array | None  # of the rows that exist, (batches batch_size,); None if all do
    first: jax.Array  # () int32
    passes: Any  # batches in a pass, () float, NaN if unknown; None where per_epoch is an int
    batch_size: int = dataclasses.field(metadata={"static": True})
    ragged: int = dataclasses.field(metadata={"static": True})  # rows of an epoch's last batch; 0 if it is whole
    per_epoch: int | None = dataclasses.field(metadata={"static": True})

    @property
    def per_pass(self) -> Any:
        """Batches of a pass over all of the data."""
        return self.passes if self.per_epoch is None else self.per_epoch

    @property
    def batches(self) -> int:
        return jax.tree.leaves(self.rows)[0].shape[0] // self.batch_size

    def indices(self, number: Any) -> tuple[jax.Array, jax.Array]:
        """The rows of a batch in this window, by its number in the run, and the mask of those that exist."""
        rows = (number - self.first) * self.batch_size + jnp.arange(self.batch_size, dtype=jnp.int32)
        return rows, jnp.ones(self.batch_size, bool) if self.mask is None else self.mask[rows]


@dataclasses.dataclass(frozen=True)
class Order:
    """The rows of every batch of a run over so many rows, a function of (key, number of the batch)."""

    kind: str
    tail: str
    batch_size: int
    rows: int

    @property
    def per_epoch(self) -> int:
        whole, batches = self.rows // self.batch_size, batches_per_epoch(self.rows, self.batch_size)
        return whole if self.tail == "drop" else batches

    @property
    def ragged(self) -> int:
        """The rows of an epoch's last batch; 0 if it is whole."""
        return self.rows % self.batch_size if self.kind != "replacement" and self.tail == "mask" else 0

    def __call__(self, key: jax.Array, number: Any) -> tuple[jax.Array, jax.Array]:
        """The row indices of a batch, (batch_size,), and the mask of those that exist."""
        if self.tail == "drop":  # batches are numbered as if there were a ragged one, which is never reached
            each, all_ = self.per_epoch, batches_per_epoch(self.rows, self.batch_size)
            number = number // each * all_ + number % each
        return batch_indices(self.kind, jax.random.fold_in(key, ORDER), number, self.rows, self.batch_size)

    def block(self, key: jax.Array, first: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Those of BLOCK batches."""
        return jax.vmap(lambda number: self(key, number))(first + jnp.arange(BLOCK, dtype=jnp.int32))


class Rooms:
    """Memory for windows, used in turn, since the system takes longer to find new memory than to fill it.

    A window is valid until the second one after it.
    """

    who: str

    def __init__(self, who: str):
        self.who, self._turn, self._arrays = who, 0, {}

    def fill(self, rows: Batch, like: Batch, size: int) -> Batch:
        """Arrays of so many rows on the device, in JAX's dtypes, which begin with these; the others have no meaning."""
        self._turn = 1 - self._turn
        if sum(x.nbytes for x in self._arrays.values()) > MANY:
            self._arrays.clear()

        def one(path, x, template):
            dtype = jax.dtypes.canonicalize_dtype(template.dtype)
            check_fits(self.who, path, x, dtype)
            room = self._room(path, (size, *x.shape[1:]), dtype)
            room[: len(x)] = x
            return jax.device_put(room)

        return jax.tree_util.tree_map_with_path(one, rows, like)

    def _room(self, path: Any, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array that JAX takes on a CPU without a copy, since it begins at a multiple of 64 bytes."""
        key = self._turn, path, shape, np.dtype(dtype)
        if key not in self._arrays:
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            memory = np.empty(size + 64, np.uint8)
            start = -memory.ctypes.data % 64
            self._arrays[key] = memory[start : start + size].view(dtype).reshape(shape)
        return self._arrays[key]


def capacity(rows: Batch, batch_size: int) -> int:
    """The batches of a window, from rows like these."""
    row = sum(x.nbytes // max(1, len(x)) for x in jax.tree.leaves(rows))
    return max(1, min(MOST, WINDOW // max(1, row * batch_size)))
