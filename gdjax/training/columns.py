"""Batches divided over devices: which rows of each the devices of this process hold, and so need to be read here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from gdjax.data.shards import number_of_shards


class Columns:
    """The positions in a batch that lie on the devices of this process; each device holds consecutive ones.

    Where the devices do not divide a batch, the last devices hold copies of its last row in addition.
    """

    sharding: NamedSharding  # of a leading axis
    number: int  # of parts of a batch
    each: int  # positions of a device
    mine: np.ndarray  # positions of this process, ascending

    def __init__(self, sharding: NamedSharding, batch_size: int):
        self.sharding, self.number = sharding, number_of_shards(sharding)
        self.each = -(-batch_size // self.number)
        places = sharding.addressable_devices_indices_map((self.each * self.number,))
        self._starts = {device: index[0].start or 0 for device, index in places.items() if index is not None}
        held = sorted({start + i for start in self._starts.values() for i in range(self.each)})
        self.mine = np.unique(np.minimum(held, batch_size - 1))
        self._last = batch_size - 1

    def put(self, rows: np.ndarray, size: int, room: Callable[[int, tuple[int, ...]], np.ndarray]) -> jax.Array:
        """The rows of these positions, (k, positions, ...), on their devices: (parts size each, ...), divided.

        Args:
            size: batches, at least k; those after k have no meaning.
            room: (first position of a device, shape) -> memory for its rows.
        """

        def of_device(start: int) -> np.ndarray:
            columns = np.searchsorted(self.mine, np.minimum(start + np.arange(self.each), self._last))
            part = room(start, (size, self.each, *rows.shape[2:]))
            part[: len(rows)] = rows[:, columns]
            return part.reshape(size * self.each, *rows.shape[2:])

        parts = {start: of_device(start) for start in set(self._starts.values())}
        arrays: list[Any] = [jax.device_put(parts[start], device) for device, start in self._starts.items()]
        shape = self.number * size * self.each, *rows.shape[2:]
        return jax.make_array_from_single_device_arrays(shape, self.sharding, arrays)
