"""An epoch: a loop of steps over batches, whose rows are a pure function of (key, batch number)."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gdjax.data import as_rows, batch_indices, batches_per_epoch, num_rows, take
from gdjax.domain import as_length
from gdjax.measures import check_same_shapes
from gdjax.meshes import on_automatic_axes
from gdjax.programs import compile_once
from gdjax.training.arguments import error_context
from gdjax.training.step import ORDER, Step, lay_out_state
from gdjax.tree import arithmetic_dtype, rescale
from gdjax.types import Batch, Metrics, Sampled, TrainState

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
        take: (data, indices) -> batch, for example to place rows on a mesh.
        scan: `jax.lax.scan`, or a Python loop with its signature for debugging.

    Returns: epoch(state, data, steps=None) -> (state, metrics), compared by value. The metrics are weighted means over rows.
        The argument `steps`, () int32, may be traced: another number compiles nothing, but then reverse mode is impossible.

    >>> step = gd.make_step(lambda w, rows: jnp.mean((w - rows) ** 2))
    >>> epoch = gd.make_epoch(step, batch_size=1, order="sequence")
    >>> state, metrics = epoch(gd.make_state(0.0, gd.sgd(0.25)), jnp.array([1.0, 3.0]))
    >>> print(state.params, metrics["loss"])
    1.75 3.625
    """
    if order not in ("shuffle", "replacement", "sequence"):
        raise ValueError(f"make_epoch: order must be 'shuffle', 'replacement' or 'sequence', got {order!r}")
    if tail not in ("mask", "drop"):
        raise ValueError(f"make_epoch: tail must be 'mask' or 'drop', got {tail!r}")
    if not isinstance(batch_size, numbers.Integral) or isinstance(batch_size, bool):
        raise TypeError(f"make_epoch: batch_size must be a whole number, got {batch_size!r}")
    steps = None if steps is None else as_length("make_epoch", "steps", steps)
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

    def __call__(self, state: TrainState, data: Any, steps: Any = None) -> tuple[TrainState, Metrics]:
        return self.walk(state, data, steps)[:2]

    def walk(self, state: TrainState, data: Any, steps: Any = None) -> tuple[TrainState, Metrics, jax.Array]:
        """As a call, with a third result: the loss of the first of these batches before its step."""
        walk = self._scan_epoch if steps is None else self._loop_epoch
        with error_context("make_epoch"):
            data = as_rows("make_epoch", data)
            as_length("make_epoch", "steps", 0 if steps is None else steps, least=0)
            state, (metrics, first_loss) = on_automatic_axes(walk, lay_out_state, state, data, steps)
        return state, metrics, first_loss

    def batch(self, state: TrainState, data: Any, number: Any) -> Batch:
        """The rows of a batch that exist, as the step receives them; `number` is that of the batch in the whole run."""
        rows, mask = self._rows(state, data, jnp.asarray(number))
        return self.take(data, rows[np.asarray(mask)])

    def _scan_epoch(self, state: TrainState, data: Any, steps: None) -> tuple[TrainState, tuple[Metrics, jax.Array]]:
        number = state.batches + jnp.arange(self.steps or self.batches_per_epoch(data), dtype=jnp.int32)
        batches = jax.vmap(lambda i: self._rows(state, data, i))(number)
        state, metrics = self.scan(lambda state, batch: self._take_step(state, data, *batch), state, batches)
        return state, (weighted_mean(metrics), metrics["loss"][0])

    def _loop_epoch(self, state: TrainState, data: Any, steps: Any) -> tuple[TrainState, tuple[Metrics, jax.Array]]:
        step = jax.jit(lambda state, batch: self._take_step(state, data, *batch))
        block = min(64, max(8, ROWS // self.batch_size), self.batches_per_epoch(data))

        def coming(state):
            number = state.batches + jnp.arange(block, dtype=jnp.int32)
            return jax.vmap(lambda i: self._rows(state, data, i))(number)

        _, metrics = jax.eval_shape(lambda state: step(state, jax.tree.map(lambda x: x[0], coming(state))), state)
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), metrics)

        def advance(done, batches, i, carry):
            state, sums, first = carry
            state, metrics = step(state, jax.tree.map(lambda x: x[i], batches))
            terms, _ = ravel_pytree(_terms(metrics))
            return state, _add(sums, terms), jnp.where(done + i == 0, metrics["loss"], first)

        def advance_block(number, carry):
            done, batches = number * block, coming(carry[0])
            left = jnp.minimum(block, steps - done)
            return jax.lax.fori_loop(0, left, lambda i, carry: advance(done, batches, i, carry), carry)

        zeros, named = ravel_pytree(_terms(nothing))
        start = state, _Sum(zeros, zeros), nothing["loss"]
        state, sums, first = jax.lax.fori_loop(0, -(-steps // block), advance_block, start)
        return state, (_means(named(sums.total), metrics), first)

    def _take_step(self, state: TrainState, data: Any, rows: jax.Array, mask: jax.Array) -> tuple[TrainState, Metrics]:
        """One step on these rows; of a ragged last batch, on the rows that exist."""

        def on(state, rows, mask=None):
            return self.step(state, self.take(data, rows), mask)

        ragged = num_rows(data) % self.batch_size if self.order != "replacement" and self.tail == "mask" else 0
        if not ragged:
            return on(state, rows)
        if self.step.takes_mask:
            return on(state, rows, mask)
        try:
            return jax.lax.cond(mask[-1], on, lambda state, rows: on(state, rows[:ragged]), state, rows)
        except TypeError:
            whole, tail = (jax.eval_shape(on, state, x)[1] for x in (rows, rows[:ragged]))
            check_same_shapes("make_epoch", whole, tail, self.batch_size, ragged)
            raise

    def _rows(self, state: TrainState, data: Any, batch: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The row indices of a batch, (batch_size,), and the mask of those that exist."""
        key = jax.random.fold_in(state.key, ORDER)
        rows = num_rows(data)
        if self.tail == "drop":  # batches are numbered as if there were a ragged one, which is never reached
            per_epoch = self.batches_per_epoch(data)
            batch = batch // per_epoch * batches_per_epoch(rows, self.batch_size) + batch % per_epoch
        return batch_indices(self.order, key, batch, rows, self.batch_size)


def weighted_mean(metrics: Metrics) -> Metrics:
    """The means, weighted by "weight", of metrics that are stacked along a leading axis, and the total weight."""
    terms = jax.vmap(_terms)({**metrics, "weight": rescale(metrics["weight"])})
    means = _means(jax.tree.map(lambda x: jnp.sum(x, axis=0), terms), metrics)
    return {**means, "weight": jnp.sum(metrics["weight"])}


class _Sum(NamedTuple):
    """A compensated sum of many numbers: a million terms of 0.1 give 100,000 in float32 too."""

    total: jax.Array
    lost: jax.Array


def _add(sum_: _Sum, x: jax.Array) -> _Sum:
    """Add one term. Reference: Kahan 1965, CACM 8(1), page 40."""
    term = x + sum_.lost
    total = sum_.total + term
    lost = term - (total - sum_.total)
    return _Sum(total, jnp.where(jnp.isfinite(lost), lost, 0))


def _terms(metrics: Metrics) -> Metrics:
    """The terms to sum over batches, from whose sums `_means` computes the means; numbers of any dtype as floats."""
    weight = metrics["weight"]

    def term(x):
        if isinstance(x, Sampled):
            return Sampled(x.value, x.taken.astype(weight.dtype))
        return weight.astype(arithmetic_dtype(x)) * x

    return {**{name: term(x) for name, x in metrics.items() if name != "weight"}, "weight": weight}


def _means(sums: Metrics, like: Metrics) -> Metrics:
    """The means from the sums of `_terms`; those of 16-bit floats are rounded to them in the end."""
    total = jnp.where(sums["weight"] > 0, sums["weight"], 1)
    total = jnp.where(total < jnp.inf, total, jnp.nan)  # the mean is unknown

    def mean(name, x):
        if isinstance(x, Sampled):
            return x.value / x.taken
        value, dtype = x / total.astype(x.dtype), like[name].dtype
        return value.astype(dtype) if jnp.issubdtype(dtype, jnp.inexact) else value

    return {**{name: mean(name, x) for name, x in sums.items() if name != "weight"}, "weight": sums["weight"]}


def iterate(
    epoch: Epoch, state: TrainState, data: Any, epochs: int | None = None
) -> Iterator[tuple[TrainState, Metrics]]:
    """The compiled epoch as a generator: the caller's loop body is the callback.

        for state, metrics in iterate(epoch, state, data): ...

    Args:
        epoch: an epoch of `make_epoch`.
        state: a TrainState, as `make_state` returns.
        data: a pytree of arrays that share their leading axis.
        epochs: number of epochs; None yields until the caller stops.

    Yields: (state, metrics) after each epoch.

    >>> step = gd.make_step(lambda w, rows: jnp.mean((w - rows) ** 2))
    >>> epoch = gd.make_epoch(step, batch_size=1, order="sequence")
    >>> for state, metrics in gd.iterate(epoch, gd.make_state(0.0, gd.sgd(0.25)), jnp.array([1.0, 3.0]), epochs=2):
    ...     print(state.params, metrics["loss"])
    1.75 3.625
    2.1875 1.6016
    """
    program = compile_once(epoch)
    epochs = None if epochs is None else as_length("iterate", "epochs", epochs, least=0)
    data = as_rows("iterate", data)
    done = 0
    while epochs is None or done < epochs:
        with error_context("iterate"):
            state, metrics = program(state, data)
        yield state, metrics
        done += 1
