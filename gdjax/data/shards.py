"""Rows divided over the devices of a mesh: each device holds consecutive rows, as many as any other or one less."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from gdjax.types import Batch


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shards:
    """Data whose rows are divided over devices; `num_rows` and `take` read them by their numbers in the whole.

    Shard s has `sizes[s]` rows, those after the rows of the shards before it. Where the devices do not divide the rows, the
    last place of some shards is padding, which is a copy of some row and is never read.
    """

    rows: Batch  # leaves (S each, ...), whose leading axis is divided
    count: int = dataclasses.field(metadata={"static": True})  # rows that exist
    sharding: NamedSharding = dataclasses.field(metadata={"static": True})  # of a leading axis
    local: bool = dataclasses.field(
        default=False, metadata={"static": True}
    )  # whether batches are drawn shard by shard

    @property
    def number(self) -> int:
        """S, the number of shards."""
        return number_of_shards(self.sharding)

    @property
    def each(self) -> int:
        """Places of a shard."""
        return -(-self.count // self.number)

    @property
    def sizes(self) -> np.ndarray:
        """The rows of each shard, (S,) int32."""
        return ((self.count + self.number - 1 - np.arange(self.number)) // self.number).astype(np.int32)

    def places(self, indices: Any) -> Any:
        """Where the rows of these numbers lie in the leaves."""
        least, longer = divmod(self.count, self.number)
        if not longer:
            return indices
        shorter = longer + (indices - longer * self.each) // max(
            1, least
        )  # the shard of a row that is not in a longer one
        return jnp.where(indices < longer * self.each, indices, indices + shorter - longer)

    def numbers(self, places: jax.Array) -> jax.Array:
        """The numbers in the whole of the rows at these places of each shard, (S, b)."""
        starts = np.cumsum(self.sizes) - self.sizes
        return places + starts[:, None]

    def take(self, indices: Any) -> Batch:
        """The rows of these numbers, whole on every device: one exchange of so many rows."""
        places = self._constrain(jnp.asarray(self.places(indices)), PartitionSpec())
        return jax.tree.map(lambda x: self._constrain(x[places], PartitionSpec()), self.rows)

    def on_host(self) -> Batch:
        """All rows as NumPy, in every process (all of which must call it)."""
        return jax.tree.map(np.asarray, self.take(np.arange(self.count)))

    def take_local(self, places: jax.Array) -> Batch:
        """Rows that each device takes from its own shard, without an exchange.

        Args:
            places: (S, b) int32 in [0, each), of every shard.

        Returns: leaves (S b, ...), divided as the rows are.
        """
        places = self._constrain(places)

        def one(x: jax.Array) -> jax.Array:
            shards = self._constrain(x.reshape(self.number, self.each, *x.shape[1:]))
            taken = self._constrain(jax.vmap(lambda shard, where: shard[where])(shards, places))
            return self._constrain(taken.reshape(-1, *x.shape[1:]))

        return jax.tree.map(one, self.rows)

    def _constrain(self, x: jax.Array, spec: PartitionSpec | None = None) -> jax.Array:
        spec = self.sharding.spec if spec is None else spec
        return jax.lax.with_sharding_constraint(x, NamedSharding(self.sharding.mesh, spec))


def rows_in(data: Any) -> Any:
    """The tree of arrays of data, divided or not."""
    return data.rows if isinstance(data, Shards) else data


def number_of_shards(sharding: NamedSharding) -> int:
    """The number of parts in which a sharding divides a leading axis."""
    (axes,) = sharding.spec
    return int(np.prod([sharding.mesh.shape[axis] for axis in ((axes,) if isinstance(axes, str) else axes)]))


def divide(data: Batch, sharding: NamedSharding, local: bool = False) -> Shards:
    """The rows of data, divided over the devices of this process and of all others.

    Args:
        data: arrays with all rows on the host, of which each device gets its own; or arrays of JAX, also those of a
            computation on several hosts, which are moved from device to device.
        local: whether each batch is drawn shard by shard.
    """
    count, shards = jax.tree.leaves(data)[0].shape[0], number_of_shards(sharding)
    least, longer = divmod(count, shards)
    each = least + bool(longer)
    starts = np.arange(shards) * least + np.minimum(np.arange(shards), longer)
    places = np.minimum((starts[:, None] + np.arange(each)), count - 1).ravel()

    def one(x: Any) -> jax.Array:
        shape = each * shards, *x.shape[1:]
        if isinstance(x, jax.Array) and not longer:
            return jax.device_put(x, sharding)
        if isinstance(x, jax.Array) and not x.is_fully_addressable:
            return jax.jit(lambda x: x[places], out_shardings=sharding)(x)
        x = np.asarray(x)

        def of_device(where: Any) -> np.ndarray:
            mine = places[where[0]]
            return x[mine] if longer else x[mine[0] : mine[-1] + 1]

        return jax.make_array_from_callback(shape, sharding, of_device)

    return Shards(jax.tree.map(one, data), count, sharding, local)
