"""A path kept in a fixed number of rows, however long it gets.

Every `stride`-th step has a row. When the rows are full, every other one is dropped and the stride doubles, so that a
million steps fit into a hundred rows, evenly spread, and a short run keeps them all. One row more holds the newest step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Trace(NamedTuple):
    rows: Any  # a tuple with a field `step`, (capacity + 1, ...) each; step is -1 where nothing is written
    stride: jax.Array  # () int32


def start_trace(row: Any, capacity: int) -> Trace:
    """An empty trace of rows like this one."""
    rows = jax.tree.map(lambda x: jnp.zeros((capacity + 1, *jnp.shape(x)), jnp.result_type(x)), row)
    return Trace(rows._replace(step=jnp.full(capacity + 1, -1, jnp.int32)), jnp.ones((), jnp.int32))


def written(trace: Trace, row: Any) -> Trace:
    """With the next row; steps come one by one from 0."""
    capacity = len(trace.rows.step) - 1
    trace = jax.lax.cond(row.step >= capacity * trace.stride, _thinned, lambda t: t, trace)
    due = row.step % trace.stride == 0
    index = jnp.where(due, row.step // trace.stride, capacity)
    rows = jax.tree.map(lambda rows, x: rows.at[index].set(x), trace.rows, row)
    return trace._replace(rows=rows)


def _thinned(trace: Trace) -> Trace:
    capacity = len(trace.rows.step) - 1

    def thin(rows):
        kept = rows[:-1:2]
        empty = jnp.zeros((capacity - len(kept), *rows.shape[1:]), rows.dtype)
        return jnp.concatenate([kept, empty, rows[-1:]])

    rows = jax.tree.map(thin, trace.rows)
    number = jnp.arange(capacity + 1)
    unused = (number >= (capacity + 1) // 2) & (number < capacity)
    return Trace(rows._replace(step=jnp.where(unused, -1, rows.step)), 2 * trace.stride)


def trim(rows: Any) -> Any:
    """The rows that were written, in order, on the host; the newest step once."""
    step = np.asarray(rows.step)
    kept = step >= 0
    kept[-1] &= step[-1] > step[:-1].max()
    return jax.tree.map(lambda x: np.asarray(x)[kept], rows)
