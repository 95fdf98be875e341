"""The rows of an evaluation in order, a chunk at a time, also where they are divided over devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.data import num_rows, take
from gdjax.data.shards import Shards
from gdjax.types import Batch


@dataclasses.dataclass(frozen=True)
class Chunks:
    """Rows in chunks of one size; a ragged last chunk is filled up with rows before it, which are masked."""

    data: Batch
    rows: int
    size: int

    @property
    def remainder(self) -> int:
        return self.rows % self.size

    @property
    def ragged(self) -> bool:
        """Whether a chunk has rows that are masked."""
        return bool(self.remainder)

    @property
    def whole(self) -> Chunks:
        """The chunks before the ragged one."""
        return dataclasses.replace(self, rows=self.rows - self.remainder)

    @property
    def tail(self) -> Batch:
        """The rows of the ragged one."""
        return jax.tree.map(lambda x: x[self.rows - self.remainder : self.rows], self.data)

    def map(self, function: Callable[[Any, jax.Array], Any]) -> Any:
        """The results of function(batch, mask) for every chunk, stacked along a new first axis."""
        number = -(-self.rows // self.size)
        if number == 1:
            return jax.tree.map(lambda x: jnp.asarray(x)[None], function(*self.all()))

        def of_chunk(i):
            start = jnp.minimum(i * self.size, self.rows - self.size)
            return function(*self.read(start, i * self.size))

        return jax.lax.map(of_chunk, np.arange(number, dtype=np.int32))

    def all(self) -> tuple[Batch, jax.Array]:
        """All rows as one chunk, and its mask."""
        batch = jax.tree.map(lambda x: x if x.shape[0] == self.rows else x[: self.rows], self.data)
        return batch, jnp.ones(self.rows, bool)

    def read(self, start: jax.Array, first: jax.Array) -> tuple[Batch, jax.Array]:
        """The chunk that begins at `start`, and the mask of its rows from `first` on."""
        batch = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, self.size), self.data)
        return batch, start + jnp.arange(self.size) >= first


@dataclasses.dataclass(frozen=True)
class Exchanged(Chunks):
    """The same chunks of rows that are divided over devices, which exchange those of each."""

    data: Shards

    @property
    def tail(self) -> Batch:
        return take(self.data, np.arange(self.rows - self.remainder, self.rows))

    def all(self) -> tuple[Batch, jax.Array]:
        return take(self.data, np.arange(self.rows)), jnp.ones(self.rows, bool)

    def read(self, start: jax.Array, first: jax.Array) -> tuple[Batch, jax.Array]:
        rows = start + jnp.arange(self.size)
        return take(self.data, rows), rows >= first


@dataclasses.dataclass(frozen=True)
class Divided(Chunks):
    """Chunks to which each shard gives as many rows, so that none is exchanged; rows and size are those of a shard."""

    data: Shards

    @property
    def ragged(self) -> bool:
        return bool(self.remainder or self.data.count % self.data.number)

    @property
    def tail(self) -> Batch:
        return self._of_places(np.arange(self.rows - self.remainder, self.rows))

    def all(self) -> tuple[Batch, jax.Array]:
        return self.read(jnp.int32(0), jnp.int32(0))

    def read(self, start: jax.Array, first: jax.Array) -> tuple[Batch, jax.Array]:
        places = start + jnp.arange(self.size)
        exist = (places >= first) & (places < self.data.sizes[:, None])
        return self._of_places(places), exist.ravel()

    def _of_places(self, places: Any) -> Batch:
        return self.data.take_local(jnp.broadcast_to(places, (self.data.number, len(places))))


def chunks_of(data: Batch, limit: int, takes_mask: bool) -> Chunks:
    """The chunks of data, each of at most `limit` rows.

    Rows that are divided over devices are exchanged only if the devices do not divide them and the loss takes no mask.
    """
    if not isinstance(data, Shards):
        rows = num_rows(data)
        return Chunks(data, rows, size_of(rows, limit))
    if data.count % data.number and not takes_mask:
        return Exchanged(data, data.count, size_of(data.count, limit))
    return Divided(data, data.each, size_of(data.each, -(-limit // data.number)))


def size_of(rows: int, limit: int) -> int:
    """The size of the fewest chunks of at most `limit` rows, or of up to twice as many if then none is ragged."""
    fewest = -(-rows // limit)
    even = [number for number in range(fewest, 2 * fewest + 1) if rows % number == 0]
    return rows // even[0] if even else min(limit, rows)
