"""Data that are not arrays in memory, as windows of batches for a run.

    Source    rows by their numbers, in the order of the run (`gdjax.data.batch_indices`), with the bits of a run in memory
    Batches   any iterable of batches, in its own order

A window has one shape however many batches are in it. Where windows end is never seen in the results.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.data import Batches, as_rows, is_loader, is_source, num_rows
from gdjax.data.rows import as_leaves
from gdjax.programs import compile_once
from gdjax.training._placement import Placement
from gdjax.training.columns import Columns
from gdjax.training.sameness import check_same
from gdjax.training.staged import BLOCK, WINDOW, Order, Rooms, Staged, capacity
from gdjax.types import Batch, Source

IN_MEMORY = 1 << 30  # bytes of validation rows that are read from a source


class SourceFeed:
    """The windows of a `Source`: rows by their numbers, in the order of the run."""

    who: str
    source: Source
    rows: int
    head: Any

    takes_long: bool = False  # whether to gather more batches at once takes as much longer
    most: int | None = None
    last: tuple[Staged, int] | None = None  # the window that was used last, and its batches

    def __init__(self, who: str, source: Source):
        self.who, self.source, self.rows, self._rooms = who, source, len(source), Rooms(who)
        if not self.rows:
            raise ValueError(f"{who}: a {type(source).__name__} must have at least one row, got none")
        one = sum(x.nbytes for x in jax.tree.leaves(self._read(np.arange(1))))
        self.head = as_rows(who, self._read(np.arange(min(1000, self.rows, max(1, WINDOW // max(1, one))))))

    def template(self, epoch: Any) -> Staged:
        """A window of no batches, for the shapes."""
        none = jax.tree.map(lambda x: np.asarray(x[:0]), self.head)
        return self._stage(epoch, none, np.zeros(0, bool), 0, Rooms(self.who))

    def window(self, epoch: Any, key: jax.Array, first: int, most: int) -> tuple[Staged, int]:
        """A window with at most so many batches from the given one on, and their number."""
        order = epoch.order_of(self.rows)
        count, program = min(most, self._capacity(order)), compile_once(order.block)
        blocks = [program(key, np.int32(i)) for i in range(first, first + count, BLOCK)]
        rows, mask = (np.concatenate([np.asarray(x) for x in part])[:count] for part in zip(*blocks, strict=True))
        columns = columns_of(epoch, order.batch_size)
        rows = rows if columns is None else rows[:, columns.mine]
        return self._stage(epoch, self._read(rows.ravel()), mask.ravel(), first, self._rooms), count

    def release(self, number: int) -> None:
        """Nothing is kept."""

    def check_position(self, who: str, number: int) -> None:
        """Any position will do."""

    def state_dict(self) -> None:
        """The key and the position are all, which the run has."""

    def _read(self, indices: np.ndarray) -> Batch:
        rows = jax.tree.map(np.asarray, as_leaves(self.who, self.source.rows(indices)))
        if num_rows(rows) != len(indices):
            raise ValueError(
                f"{self.who}: a {type(self.source).__name__} must give the {len(indices)} rows asked for, got "
                f"{num_rows(rows)}"
            )
        return rows

    def _capacity(self, order: Order) -> int:
        return min(order.per_epoch, capacity(self.head, order.batch_size))

    def _stage(self, epoch: Any, rows: Batch, mask: np.ndarray, first: int, rooms: Rooms) -> Staged:
        order = epoch.order_of(self.rows)
        size = self._capacity(order)
        window, real = fill(rooms, epoch, order.batch_size, rows, mask, self.head, size)
        return Staged(
            window,
            real if order.ragged else None,
            scalar(epoch, np.int32(first)),
            None,
            order.batch_size,
            order.ragged,
            order.per_epoch,
        )


class LoaderFeed:
    """The windows of `Batches`: batches one after the other, which may end with each pass.

    Where the loss takes a mask, a batch with fewer rows than the first is filled up and masked. Any other batch of another
    shape is a window of its own, with a program for that shape.
    """

    who: str
    batches: Batches
    head: Any

    takes_long: bool = True
    most: int | None = None  # batches after which a run ends that may end within the first pass
    last: tuple[Staged, int] | None = None

    def __init__(self, who: str, batches: Batches):
        self.who, self.batches, self._known, self._rooms = who, batches, batches.per_pass, Rooms(who)
        head = batches.get(batches.position)
        if head is None:
            raise ValueError(f"{who}: data must give at least one batch, got {batches}, which is used up")
        self.head = as_rows(who, head)

    @property
    def used_up(self) -> bool:
        return self.batches.used_up

    @property
    def per_pass(self) -> int | None:
        """Batches in a pass; None before this is known."""
        return self.batches.per_pass

    def template(self, epoch: Any) -> Staged:
        return self._stage(epoch, [], self.head, 0, Rooms(self.who))

    def window(self, epoch: Any, key: Any, first: int, most: int) -> tuple[Staged, int] | None:
        """As for a source; None if the loader is used up."""
        found, like, number = [], self.head, first
        while number < first + most and (batch := self.batches.get(number)) is not None:
            if number == first:
                like = self.head if self._fits(epoch, batch, self.head) else batch
                most = min(most, self._capacity(like))
            elif self.batches.starts_pass(number) or not self._fits(epoch, batch, like):
                break
            found.append(batch)
            number += 1
        return (self._stage(epoch, found, like, first, self._rooms), len(found)) if found else None

    def release(self, number: int) -> None:
        self.batches.release(number)

    def check_position(self, who: str, number: int) -> None:
        self.batches.check_position(who, number)

    def state_dict(self) -> Any:
        return self.batches.state_dict()

    def resume(self, number: int, state: Any) -> None:
        """Go to a batch by the position that was noted there, unless the batches stand there already."""
        if state is not None and self.batches.position != number:
            self.batches.load_state_dict(state)
        self.batches.check_position(self.who, number)

    def _fits(self, epoch: Any, batch: Batch, like: Batch) -> bool:
        """Whether a batch can be one of a window of batches of this shape."""
        if jax.tree.structure(batch) != jax.tree.structure(like):
            raise ValueError(
                f"{self.who}: all batches must be built alike, got {jax.tree.structure(batch)} after "
                f"{jax.tree.structure(like)}"
            )
        (got, *_), (need, *_) = jax.tree.leaves(batch), jax.tree.leaves(like)
        rest = [x.shape[1:] for x in jax.tree.leaves(batch)] == [x.shape[1:] for x in jax.tree.leaves(like)]
        return rest and (len(got) == len(need) or (epoch.step.takes_mask and len(got) < len(need)))

    def _capacity(self, like: Batch) -> int:
        most = capacity(like, len(jax.tree.leaves(like)[0]))
        return min(most, self._known or most)

    def _stage(self, epoch: Any, found: list[Batch], like: Batch, first: int, rooms: Rooms) -> Staged:
        size = len(jax.tree.leaves(like)[0])
        masked = epoch.step.takes_mask
        rows = [len(jax.tree.leaves(batch)[0]) for batch in found]
        whole = [jax.tree.map(lambda x: filled(x, size), batch) for batch in found]
        joined = jax.tree.map(lambda *x: np.concatenate(x), *whole) if whole else jax.tree.map(lambda x: x[:0], like)
        mask = (np.arange(size) < np.array(rows, int)[:, None]).ravel()
        if (columns := columns_of(epoch, size)) is not None:
            joined = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:])[:, columns.mine], joined)
            joined = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), joined)
        window, real = fill(rooms, epoch, size, joined, mask, like, self._capacity(like))
        return Staged(
            window,
            real if masked else None,
            scalar(epoch, np.int32(first)),
            scalar(epoch, np.float32(self.batches.per_pass or np.nan)),
            size,
            int(masked),
            None,
        )


Feed = SourceFeed | LoaderFeed


def columns_of(epoch: Any, batch_size: int) -> Columns | None:
    """The part of every batch that the devices of this process hold; None where there is one device."""
    placement = epoch.step.placement
    return None if placement is None else Columns(placement.divided, batch_size)


def fill(
    rooms: Rooms, epoch: Any, batch_size: int, rows: Batch, mask: np.ndarray, like: Batch, size: int
) -> tuple[Any, Any]:
    """A window of so many batches that begins with these rows and their mask, where the epoch's program reads them."""
    columns = columns_of(epoch, batch_size)
    if columns is None:
        return rooms.fill((rows, mask), (like, mask), size * batch_size)
    return rooms.divide(rows, like, columns, size), np.resize(mask, size * batch_size)


def scalar(epoch: Any, x: Any) -> Any:
    """A number beside the rows: on the device, or where there are several, on the host, from where all take it."""
    return jnp.asarray(x) if epoch.step.placement is None else np.asarray(x)


def rows_seen(feed: Feed) -> Batch | None:
    """The rows of the window that was used last; None before the first."""
    if feed.last is None:
        return None
    staged, count = feed.last
    return staged.whole(count)


def as_data(who: str, data: Any, placement: Placement | None = None, once: bool = False) -> Any:
    """Data at a door that reads by windows: a feed of a `Source` or of batches, else arrays, where the placement says.

    Args:
        once: whether batches are read here that another door will need too.
    """
    if isinstance(data, Feed):
        return data
    if is_source(data):
        return _checked(who, SourceFeed(who, data), placement)
    if is_loader(data):
        if once and not isinstance(data, Batches):
            raise TypeError(
                f"{who}: batches that come one by one must be those that the run reads too, got a {type(data).__name__}; "
                f"write batches = gd.data.Batches(loader) and give batches to {who} and to segments"
            )
        return _checked(who, LoaderFeed(who, data if isinstance(data, Batches) else Batches(data)), placement)
    return _in_memory(who, data, placement)


def _in_memory(who: str, data: Any, placement: Placement | None) -> Any:
    """Arrays of rows; no device has more of them than the placement says."""
    if placement is None:
        return as_rows(who, data)
    rows = as_rows(who, data, on_host=True)
    check_same(who, "data", rows, placement.mesh)
    return placement.put_rows(rows)


def _checked(who: str, feed: Any, placement: Placement | None) -> Any:
    """A feed whose first rows are the same in all processes."""
    if placement is not None:
        check_same(who, "data", (feed.head, getattr(feed, "rows", None)), placement.mesh)
    return feed


def as_validation(who: str, validation: Any, placement: Placement | None = None) -> Any:
    """Validation data in memory: the rows of a `Source`, if they are not too many, or arrays, where the placement says."""
    if isinstance(validation, Feed) or is_loader(validation):
        raise TypeError(
            f"{who}: validation must be arrays or a Source, all of whose rows are evaluated, got a "
            f"{type(validation).__name__}"
        )
    if not is_source(validation):
        return _in_memory(who, validation, placement)
    head, count = as_rows(who, validation.rows(np.arange(1))), len(validation)
    size = count * sum(x.nbytes for x in jax.tree.leaves(head))
    if size > IN_MEMORY:
        raise ValueError(
            f"{who}: validation is evaluated in memory and must have at most {IN_MEMORY:,} bytes, got {size:,} in {count} "
            f"rows of a {type(validation).__name__}; write validation = source.rows(range({count * IN_MEMORY // size}))"
        )
    return _in_memory(who, validation.rows(np.arange(count)), placement)


def filled(x: np.ndarray, rows: int) -> np.ndarray:
    """x with so many rows; the last is repeated."""
    return x if len(x) == rows else np.concatenate([x, np.repeat(x[-1:], rows - len(x), axis=0)])
