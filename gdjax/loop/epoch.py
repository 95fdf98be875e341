"""An epoch: a step, scanned over batches whose rows are a pure function of (key, batch number)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from gdjax.data import batch_indices, batches_per_epoch, num_rows, take
from gdjax.loop.step import ORDER, Step
from gdjax.programs import compiled
from gdjax.types import Metrics, Sampled, TrainState


def make_epoch(
    step: Step,
    batch_size: int = 64,
    *,
    order: str = "shuffle",
    tail: str = "mask",
    steps: int | None = None,
    take: Callable[[Any, jax.Array], Any] = take,
    scan: Callable[..., Any] = jax.lax.scan,
) -> Epoch:
    """The transition of one pass over the data, or of a number of steps.

    Args:
        step: what `make_step` returns.
        batch_size: rows per step.
        order: "shuffle" (without replacement, anew each epoch), "replacement", or "sequence" (consecutive windows).
        tail: "mask" uses the ragged last batch: masked where the loss takes a mask, else as one smaller step of the same
            program; "drop" leaves it out.
        steps: batches per call; None is one pass. A call goes on wherever the last one ended, within an epoch or across.
        take: (data, indices) -> batch, to place rows on a mesh.
        scan: `jax.lax.scan`, or a Python loop of its signature for debugging.

    Returns: epoch(state, data) -> (state, metrics), equal by value; metrics are means over rows, by weight.
    """
    if order not in ("shuffle", "replacement", "sequence"):
        raise ValueError(f"make_epoch: order must be 'shuffle', 'replacement' or 'sequence', got {order!r}")
    if tail not in ("mask", "drop"):
        raise ValueError(f"make_epoch: tail must be 'mask' or 'drop', got {tail!r}")
    if steps is not None and steps < 1:
        raise ValueError(f"make_epoch: steps must be at least 1, got {steps}")
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

    def batches_per_epoch(self, data: Any) -> int:
        rows = num_rows(data)
        if not 1 <= self.batch_size <= rows:
            raise ValueError(
                f"make_epoch: batch_size must be between 1 and the {rows} rows of the data, got {self.batch_size}"
            )
        return rows // self.batch_size if self.tail == "drop" else batches_per_epoch(rows, self.batch_size)

    def __call__(self, state: TrainState, data: Any) -> tuple[TrainState, Metrics]:
        per_epoch = self.batches_per_epoch(data)
        indices, mask = self._rows(state, data, per_epoch)
        ragged = num_rows(data) % self.batch_size if self.order != "replacement" and self.tail == "mask" else 0

        def whole_batch(state, rows, mask=None):
            return self.step(state, self.take(data, rows), mask)

        def body(state, batch):
            rows, mask = batch
            if not ragged:
                return whole_batch(state, rows)
            if self.step.takes_mask:
                return whole_batch(state, rows, mask)
            return jax.lax.cond(mask[-1], whole_batch, lambda s, r: whole_batch(s, r[:ragged]), state, rows)

        state, metrics = self.scan(body, state, (indices, mask))
        return state, weighted_mean(metrics)

    def _rows(self, state: TrainState, data: Any, per_epoch: int) -> tuple[jax.Array, jax.Array]:
        """The rows of the coming batches, (steps, batch_size), and which of them count."""
        key = jax.random.fold_in(state.key, ORDER)
        rows = num_rows(data)
        batch = state.batches + jnp.arange(self.steps or per_epoch, dtype=jnp.int32)
        if self.tail == "drop":  # number batches as if there were a tail, and never come to it
            batch = batch // per_epoch * batches_per_epoch(rows, self.batch_size) + batch % per_epoch
        return jax.vmap(lambda i: batch_indices(self.order, key, i, rows, self.batch_size))(batch)


def weighted_mean(metrics: Metrics) -> Metrics:
    """Metrics stacked along a leading axis to their means by "weight", with the total weight."""
    weight = metrics["weight"]
    total = jnp.sum(weight)

    def mean(x):
        if isinstance(x, Sampled):
            return jnp.sum(x.value, axis=0) / jnp.sum(x.taken)
        return jnp.tensordot(weight.astype(x.dtype), x, 1) / jnp.where(total > 0, total, 1).astype(x.dtype)

    return {**{name: mean(x) for name, x in metrics.items() if name != "weight"}, "weight": total}


def iterate(
    epoch: Epoch, state: TrainState, data: Any, epochs: int | None = None
) -> Iterator[tuple[TrainState, Metrics]]:
    """The compiled epoch as a generator: the caller's loop body is the callback.

        for state, metrics in iterate(epoch, state, data): ...

    Args:
        epochs: how many; None goes on for as long as the caller does.
    """
    program = compiled(epoch)
    done = 0
    while epochs is None or done < epochs:
        state, metrics = program(state, data)
        yield state, metrics
        done += 1
