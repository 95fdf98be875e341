"""The blocks of a leaf: all of it, or, where it lies on devices of several hosts, the first replica of each shard.

Each block is copied, written and verified by one process; read again, a leaf is put together from them, whatever the
devices are then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from gdjax.calls import data_of

Start = tuple[int, ...] | None  # where a block begins; None: it is the whole leaf


def blocks_of(x: Any) -> Iterator[tuple[Start, Any]]:
    """What this process copies of a leaf: where it begins, and the data; of random keys, their data."""
    if not isinstance(x, jax.Array) or x.is_fully_addressable:
        yield None, data_of(x)
        return
    for shard in x.addressable_shards:
        if shard.replica_id == 0:
            data = data_of(shard.data)
            starts = [span.start for span in _spans(x.shape, shard.index[: x.ndim])]
            yield (*starts, *[0] * (data.ndim - x.ndim)), data


def entry_name(name: str, start: Sequence[int] | None) -> str:
    """The name of a block among the entries of a checkpoint."""
    return name if start is None else f"{name}@{','.join(map(str, start))}"


def find_region(
    name: str, blocks: Any, entries: Mapping[str, Any], dtype: Any, shape: tuple[int, ...], where: tuple[Any, ...] = ()
) -> np.ndarray:
    """The part of a leaf that the slices give.

    Args:
        blocks: (start, shape, digest) of each, as in a manifest; None: there is one, the whole leaf.
        entries: the bytes of each block, by `entry_name`.
        dtype, shape: of the data.
    """
    if blocks is None:
        return np.frombuffer(entries[name], dtype).reshape(shape)[(..., *where)]
    wanted = _spans(shape, where)
    region = np.empty([len(span) for span in wanted], dtype)
    for start, lengths, _ in blocks:
        there = [range(at, at + n) for at, n in zip(start, lengths, strict=True)]
        common = [range(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(wanted, there, strict=True)]
        if all(common):
            block = np.frombuffer(entries[entry_name(name, start)], dtype).reshape(lengths)
            region[_within(wanted, common)] = block[_within(there, common)]
    return region


def _spans(shape: Sequence[int], where: Any) -> list[range]:
    """The indices along each axis, of slices for the first of them."""
    return [range(n)[each] for n, each in zip(shape, (*where, *[slice(None)] * (len(shape) - len(where))), strict=True)]


def _within(spans: Sequence[range], parts: Sequence[range]) -> tuple[slice, ...]:
    return tuple(slice(b.start - a.start, b.stop - a.start) for a, b in zip(spans, parts, strict=True))
