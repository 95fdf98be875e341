"""An epoch: a loop of steps over batches, whose rows are a pure function of (key, batch number)."""

from __future__ import annotations

import dataclasses
import functools
import numbers
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import is_concrete
from gdjax.data import as_rows, num_rows, take
from gdjax.data.shards import Shards
from gdjax.domain import as_length
from gdjax.measures import check_same_shapes
from gdjax.meshes import on_automatic_axes
from gdjax.programs import bind, compile_once
from gdjax.training._placement import Placement, check_placement
from gdjax.training.arguments import error_context
from gdjax.training.feeds import LoaderFeed, SourceFeed
from gdjax.training.staged import Order, Staged
from gdjax.training.step import Step, lay_out_state, scheduled_rate
from gdjax.training.sums import Summation, range_of, weighted_mean
from gdjax.types import Batch, Metrics, Sums, TrainState

ROWS = 2048  # row indices that are computed at once, for 8 to 64 batches, to amortize the cost of the call


def make_epoch(
    step: Step,
    batch_size: int = 64,
    *,
    order: str = "shuffle",
    tail: str = "mask",
    steps: int | None = None,
    take: Callable[[Any, jax.Array], Any] = take,
    scan: Callable[..., Any] = jax.lax.scan,
    placement: Placement | None = None,
) -> Epoch:
    """The transition of one pass over the data, or of a number of steps.

    Args:
        step: a step of `make_step`.
        batch_size: rows per step.
        order: "shuffle" (without replacement, a new permutation each epoch), "replacement", or "sequence" (consecutive
            rows).
        tail: "mask" uses a ragged last batch, with a mask if the loss takes one, else as one smaller step of the same
            program; "drop" omits it.
        steps: batches per call (default: one pass). A call continues where the last one ended, also within an epoch.
        take: (data, indices) -> batch. One of your own needs data of which every device has all rows.
        scan: `jax.lax.scan`, or a Python loop with its signature for debugging.
        placement: of `gd.placement`: the devices over which the rows of each batch are divided, and where the state of
            `make_state` lies. Arrays of the host are placed in every call: write data = placement.put_rows(data) once.

    Returns: epoch(state, data, steps=None) -> (state, metrics), compared by value. The metrics are weighted means over rows.
        The argument `steps`, () int32, may be traced: another number compiles nothing, but then reverse mode is impossible.

    >>> step = gd.make_step(lambda w, rows: jnp.mean((w - rows) ** 2))
    >>> epoch = gd.make_epoch(step, batch_size=1, order="sequence")
    >>> state, metrics = epoch(gd.make_state(0.0, gd.sgd(0.25)), jnp.array([1.0, 3.0]))
    >>> print(state.params, metrics["loss"])
    1.75 3.625
    """
    check_placement("make_epoch", placement)
    if order not in ("shuffle", "replacement", "sequence"):
        raise ValueError(f"make_epoch: order must be 'shuffle', 'replacement' or 'sequence', got {order!r}")
    if tail not in ("mask", "drop"):
        raise ValueError(f"make_epoch: tail must be 'mask' or 'drop', got {tail!r}")
    if not isinstance(batch_size, numbers.Integral) or isinstance(batch_size, bool):
        raise TypeError(f"make_epoch: batch_size must be a whole number, got {batch_size!r}")
    steps = None if steps is None else as_length("make_epoch", "steps", steps)
    step = step if placement is None else dataclasses.replace(step, placement=placement)
    return Epoch(step, batch_size, order, tail, steps, take, scan)


@dataclasses.dataclass(frozen=True)
class Epoch:
    """What `make_epoch` returns."""

    step: Step
    batch_size: int
    order: str
    tail: str
    steps: int | None
    take: Callable[[Any, jax.Array], Any]
    scan: Callable[..., Any]

    @property
    def placement(self) -> Placement | None:
        """Where its step computes."""
        return self.step.placement

    def batches_per_epoch(self, data: Any) -> Any:
        if isinstance(data, (Staged, LoaderFeed)):
            return data.per_pass
        rows = data.rows if isinstance(data, SourceFeed) else num_rows(data)
        if not 1 <= self.batch_size <= rows:
            raise ValueError(
                f"make_epoch: batch_size must be between 1 and the {rows} rows of the data, got {self.batch_size}"
            )
        if isinstance(data, Shards) and data.local and rows < data.number:
            raise ValueError(
                f"make_epoch: rows that are local must be at least one for each of {data.number} devices, got {rows}; write "
                "rows='sharded'"
            )
        return self.order_of(rows).per_epoch

    def order_of(self, rows: int) -> Order:
        """The order of so many rows."""
        return Order(self.order, self.tail, self.batch_size, rows)

    def __call__(self, state: TrainState, data: Any, steps: Any = None) -> tuple[TrainState, Metrics]:
        return self.walk(state, data, steps)[:2]

    def walk(self, state: TrainState, data: Any, steps: Any = None) -> tuple[TrainState, Metrics, Walked]:
        """As a call, with a third result: what else is known of these steps."""
        walk = self._scan_epoch if steps is None else self._loop_epoch
        with error_context("make_epoch"):
            data = self.place(as_rows("make_epoch", data, on_host=self.placement is not None))
            as_length("make_epoch", "steps", 0 if steps is None else steps, least=0)
            state, (metrics, walked) = on_automatic_axes(walk, lay_out_state, state, data, steps)
        return state, metrics, walked

    def place(self, data: Any) -> Any:
        """The data where the placement says; those of a program are there, if they are not to be drawn shard by shard."""
        if self.placement is None or isinstance(data, Staged):
            return data
        if isinstance(data, Shards) or all(map(is_concrete, jax.tree.leaves(data))):
            return self.placement.put_rows(data)
        if self.placement.rows == "local":
            raise ValueError(
                "make_epoch: rows that are local must lie on their devices before a program reads them, write data = "
                "placement.put_rows(data), got traced arrays"
            )
        return data

    def loop(self, state: TrainState, data: Any) -> Loop:
        """The loop over these data from states like this one."""
        step, first = compile_once(bind(self._take_step)), jnp.int32(0)
        _, metrics = step.eval_shape(state, data, *jax.eval_shape(lambda i: self.rows_of(state.key, data, i), first))
        size = min(
            64,
            max(8, ROWS // self.batch_size),
            data.batches if isinstance(data, Staged) else self.batches_per_epoch(data),
        )
        return Loop(
            lambda state, batch: step(state, data, *batch),
            lambda state, i: self.rows_of(state.key, data, i),
            size,
            Summation(metrics, scheduled_rate(state) is not None),
        )

    def batch(self, state: TrainState, data: Any, number: Any) -> Batch:
        """The rows of a batch that exist, as the step receives them; `number` is that of the batch in the whole run."""
        rows, mask = self.rows_of(state.key, data, jnp.asarray(number))
        exist = np.flatnonzero(mask)
        return jax.tree.map(lambda x: x[exist], self.take_rows(data, rows))

    def _scan_epoch(self, state: TrainState, data: Any, steps: None) -> tuple[TrainState, tuple[Metrics, Walked]]:
        def body(state, batch):
            rate = scheduled_rate(state)
            state, metrics = self._take_step(state, data, *batch)
            return state, (metrics, rate)

        number = state.batches + jnp.arange(self.steps or self.batches_per_epoch(data), dtype=jnp.int32)
        batches = jax.vmap(lambda i: self.rows_of(state.key, data, i))(number)
        state, (metrics, rates) = self.scan(body, state, batches)
        means, losses = weighted_mean(metrics), metrics["loss"]
        first_loss = losses[jnp.argmax(metrics["weight"] != 0)]
        walked = Walked(jnp.int32(len(losses)), first_loss, jnp.bool_(True), range_of(rates))
        return state, (means, walked)

    def _loop_epoch(self, state: TrainState, data: Any, steps: Any) -> tuple[TrainState, tuple[Metrics, Walked]]:
        loop = self.loop(state, data)
        state, sums, walked = loop(state, loop.summation.start(), steps)
        return state, (loop.summation.means(sums), walked)

    def _take_step(self, state: TrainState, data: Any, rows: jax.Array, mask: jax.Array) -> tuple[TrainState, Metrics]:
        """One step on these rows; of a ragged last batch, on the rows that exist."""
        if self.placement is not None:  # so that nobody asks another device for their numbers
            rows, mask = self.placement.everywhere((rows, mask))

        def on(state, rows, mask=None, count=None):
            return self.step(state, self.take_rows(data, rows, count), mask)

        ragged = self.ragged_of(data)
        if not ragged:
            return on(state, rows)
        if self.step.takes_mask:
            return on(state, rows, mask.ravel())
        try:
            return jax.lax.cond(mask[-1], on, lambda state, rows: on(state, rows, count=ragged), state, rows)
        except TypeError:
            whole, tail = (jax.eval_shape(on, state, x)[1] for x in (rows, rows[:ragged]))
            check_same_shapes("make_epoch", whole, tail, len(rows), ragged)
            raise

    def ragged_of(self, data: Any) -> int:
        """The rows of a batch of which only some exist; 0 if there is none.

        Raises: ValueError for a loss that takes no mask, if batches are drawn shard by shard and the shards' shares of one
            differ.
        """
        if isinstance(data, Staged):
            return data.ragged
        ragged = self.order_of(num_rows(data)).ragged
        if not _is_local(data) or not (ragged or self.batch_size % data.number):
            return ragged
        if not self.step.takes_mask:
            raise ValueError(
                f"make_epoch: rows that are local need a loss that takes a mask, as gd.per_example makes one, or batches "
                f"that {data.number} devices divide and that divide the {data.count} rows, got batches of {self.batch_size}"
            )
        return ragged or self.batch_size

    def rows_of(self, key: jax.Array, data: Any, batch: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Where the rows of a batch are in the data, (batch_size,), and the mask of those that exist.

        In each shard, (shards, rows), if they are drawn shard by shard or come in windows on several devices.
        """
        if isinstance(data, Staged):
            return data.indices(batch)
        order = self.order_of(num_rows(data))
        return order.of_shards(key, batch, data.number) if _is_local(data) else order(key, batch)

    def take_rows(self, data: Any, rows: jax.Array, count: int | None = None) -> Batch:
        """The batch of these rows, or of the first `count` of them."""
        if isinstance(data, Staged):
            count = data.batch_size if count is None else count
            data = data.rows
        if isinstance(data, Shards):
            if self.take is not take:
                raise ValueError(
                    "make_epoch: a take of your own needs data of which every device has all rows, write arrays and "
                    "gd.placement(mesh, rows='replicated'), got rows that are divided over devices"
                )
            batch = data.take(rows) if rows.ndim == 1 else data.take_local(rows)
            return jax.tree.map(lambda x: x[:count], batch)
        rows = rows[:count]
        if self.placement is not None and self.step.microbatches == 1:
            rows = self.placement.spread(rows)
        return self.take(data, rows)


def _is_local(data: Any) -> bool:
    return isinstance(data, Shards) and data.local


class Walked(NamedTuple):
    """What a loop says of its steps besides their sums."""

    steps: jax.Array  # their number, () int32
    first_loss: jax.Array  # that of the first batch of any weight, before its step; NaN if there was none
    finite: jax.Array  # whether all losses were, () bool; True where nobody asked
    rates: jax.Array  # as in Sums


@dataclasses.dataclass(frozen=True)
class Loop:
    """Steps as one loop whose length is a traced number, so that it may end after any batch."""

    step: Callable[[TrainState, Any], tuple[TrainState, Metrics]]
    rows: Callable[[TrainState, jax.Array], Any]  # of a batch, by its number
    block: int  # batches whose rows are computed at once
    summation: Summation

    def __call__(
        self, state: TrainState, sums: Sums, steps: Any, finite_only: Any = False
    ) -> tuple[TrainState, Sums, Walked]:
        """Take so many steps; with finite_only, a bool, fewer if a loss is not finite: that step is the last."""

        def take_step(done, batches, i, carry):
            state, sums, walked = carry
            rate = scheduled_rate(state)
            state, metrics = self.step(state, jax.tree.map(lambda x: x[i], batches))
            loss, first = metrics["loss"], walked.first_loss
            first = jnp.where(jnp.isnan(first) & (metrics["weight"] != 0), loss, first)
            finite = jnp.isfinite(loss) | ~jnp.bool_(finite_only)
            sums = self.summation.add(sums, metrics, rate)
            return state, sums, Walked(done + i + 1, first, finite, sums.rates)

        def take_block(carry):
            done, coming = carry[2].steps, carry[0].batches + jnp.arange(self.block, dtype=jnp.int32)
            batches = jax.vmap(functools.partial(self.rows, carry[0]))(coming)
            last = jnp.minimum(done + self.block, steps)
            return jax.lax.while_loop(
                lambda carry: going(carry, last),
                lambda carry: take_step(done, batches, carry[2].steps - done, carry),
                carry,
            )

        def going(carry, last):
            return (carry[2].steps < last) & carry[2].finite

        loss = self.summation.metrics["loss"]
        start = Walked(jnp.int32(0), jnp.full(loss.shape, jnp.nan, loss.dtype), jnp.bool_(True), sums.rates)
        return jax.lax.while_loop(lambda carry: going(carry, steps), take_block, (state, sums, start))


def iterate(
    epoch: Epoch, state: TrainState, data: Any, epochs: int | None = None, keep: bool = True
) -> Iterator[tuple[TrainState, Metrics]]:
    """The compiled epoch as a generator: the caller's loop body is the callback.

        for state, metrics in iterate(epoch, state, data): ...

    Args:
        epoch: an epoch of `make_epoch`.
        state: a TrainState, as `make_state` returns.
        data: a pytree of arrays that share their leading axis.
        epochs: number of epochs; None yields until the caller stops.
        keep: True yields states that may be kept, and holds two of them in memory. With False each state, the given one
            included, is donated to the next epoch and valid only in the body of the loop; the last one stays valid.

    Yields: (state, metrics) after each epoch.

    >>> step = gd.make_step(lambda w, rows: jnp.mean((w - rows) ** 2))
    >>> epoch = gd.make_epoch(step, batch_size=1, order="sequence")
    >>> for state, metrics in gd.iterate(epoch, gd.make_state(0.0, gd.sgd(0.25)), jnp.array([1.0, 3.0]), epochs=2):
    ...     print(state.params, metrics["loss"])
    1.75 3.625
    2.1875 1.6016
    """
    program = compile_once(epoch, donate=() if keep else (0,))
    epochs = None if epochs is None else as_length("iterate", "epochs", epochs, least=0)
    data = epoch.place(as_rows("iterate", data, on_host=epoch.placement is not None))
    if epoch.placement is not None:
        state = epoch.placement.put(state, state.params)
    done = 0
    while epochs is None or done < epochs:
        with error_context("iterate"):
            state, metrics = program(state, data)
        yield state, metrics
        done += 1
