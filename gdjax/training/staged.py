"""What a compiled program reads in the place of the data, if they are not arrays in memory: a window of batches."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from gdjax.data import batch_indices, batches_per_epoch, shard_indices
from gdjax.data.arrays import check_fits
from gdjax.data.shards import Shards
from gdjax.training.columns import Columns
from gdjax.training.step import ORDER
from gdjax.types import Batch

WINDOW = 1 << 24  # bytes of the batches that are gathered at once
MOST = 4096  # batches of a window
MANY = 8 * WINDOW  # bytes of the memory for windows of all shapes
BLOCK = 64  # batches whose row numbers are computed in one call


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Staged:
    """Consecutive batches of a run, the first of them number `first`; after the last of them come rows of no meaning.

    On several devices each has its `Columns` of every batch, one after the other, as its shard.
    """

    rows: Batch | Shards  # leaves (batches batch_size, ...)
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
        if isinstance(self.rows, Shards):
            return self.rows.each // self._column
        return jax.tree.leaves(self.rows)[0].shape[0] // self.batch_size

    @property
    def _column(self) -> int:
        """The rows of a batch on one device."""
        return -(-self.batch_size // self.rows.number)

    def indices(self, number: Any) -> tuple[jax.Array, jax.Array]:
        """Where the rows of a batch lie in this window, by its number in the run, and the mask of those that exist.

        On several devices these are places in each shard, (S, rows of a device); the mask is of the batch.
        """
        rows = (number - self.first) * self.batch_size + jnp.arange(self.batch_size, dtype=jnp.int32)
        mask = jnp.ones(self.batch_size, bool) if self.mask is None else self.mask[rows]
        if not isinstance(self.rows, Shards):
            return rows, mask
        places = (number - self.first) * self._column + jnp.arange(self._column, dtype=jnp.int32)
        return jnp.broadcast_to(places, (self.rows.number, self._column)), mask

    def whole(self, count: int) -> Batch:
        """The rows of the first batches, as they would lie on one device, on all of them."""
        if not isinstance(self.rows, Shards):
            return jax.tree.map(lambda x: x[: count * self.batch_size], self.rows)
        shape = self.rows.number, self.batches, self._column

        def one(x: jax.Array) -> jax.Array:
            batches = x.reshape(*shape, *x.shape[1:]).swapaxes(0, 1)[:count]
            batches = batches.reshape(count, -1, *x.shape[1:])[:, : self.batch_size]
            return batches.reshape(-1, *x.shape[1:])

        return jax.tree.map(
            one, jax.device_put(self.rows.rows, NamedSharding(self.rows.sharding.mesh, PartitionSpec()))
        )


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
        return batch_indices(self.kind, *self._given(key, number))

    def of_shards(self, key: jax.Array, number: Any, shards: int) -> tuple[jax.Array, jax.Array]:
        """The row indices of a batch in each shard, (shards, rows), and the mask of those that exist."""
        return shard_indices(self.kind, *self._given(key, number), shards)

    def _given(self, key: jax.Array, number: Any) -> tuple[Any, Any, int, int]:
        if self.tail == "drop":  # batches are numbered as if there were a ragged one, which is never reached
            each, all_ = self.per_epoch, batches_per_epoch(self.rows, self.batch_size)
            number = number // each * all_ + number % each
        return jax.random.fold_in(key, ORDER), number, self.rows, self.batch_size

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
        self._begin()

        def one(path, x, template):
            room = self._room(path, (size, *x.shape[1:]), self._dtype(path, x, template))
            room[: len(x)] = x
            return jax.device_put(room)

        return jax.tree_util.tree_map_with_path(one, rows, like)

    def _begin(self) -> None:
        self._turn = 1 - self._turn
        if sum(x.nbytes for x in self._arrays.values()) > MANY:
            self._arrays.clear()

    def divide(self, rows: Batch, like: Batch, columns: Columns, size: int) -> Shards:
        """As `fill`, of the rows that `columns` says of every batch, as windows of so many batches on their devices."""
        self._begin()

        def one(path, x, template):
            dtype = self._dtype(path, x, template)
            batches = x.reshape(len(x) // len(columns.mine), len(columns.mine), *x.shape[1:])
            return columns.put(batches, size, lambda start, shape: self._room((path, start), shape, dtype))

        sharding, count = columns.sharding, size * columns.each * columns.number
        return Shards(jax.tree_util.tree_map_with_path(one, rows, like), count, sharding)

    def _dtype(self, path: Any, x: np.ndarray, template: Any) -> Any:
        """The dtype on the device, which can hold the rows."""
        dtype = jax.dtypes.canonicalize_dtype(template.dtype)
        check_fits(self.who, path, x, dtype)
        return dtype

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
