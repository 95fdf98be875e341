"""A path kept in a fixed number of rows, however long it gets.

Every `stride`-th step has a row. When the rows are full, every other one is dropped and the stride doubles, so that a
million steps fit into a hundred rows, evenly spread, and a short run keeps them all. Where there are a thousand rows, a
quarter of them holds the first steps one by one, whatever comes after. One row more holds the newest step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MANY = 1000  # rows, of which a quarter can be spared for the first steps


class Trace(NamedTuple):
    rows: Any  # a tuple with a field `step`, (capacity + 1, ...) each; step is -1 where nothing is written
    stride: jax.Array | None  # () int32; None where there is room for every step


def start_trace(row: Any, capacity: int, roomy: bool = False) -> Trace:
    """An empty trace of rows like this one; a roomy one is never full."""
    rows = jax.tree.map(lambda x: jnp.zeros((capacity + 1, *jnp.shape(x)), jnp.result_type(x)), row)
    rows = rows._replace(step=jnp.full(capacity + 1, -1, jnp.int32))
    return Trace(rows, None if roomy else jnp.ones((), jnp.int32))


def append(trace: Trace, row: Any) -> Trace:
    """With the next row; steps come one by one from 0."""
    return place(roomier(trace, row.step), row)


def place(trace: Trace, row: Any) -> Trace:
    """`append` in a trace that is not full: within a loop, whose copies of the rows it spares."""
    index = row.step
    if trace.stride is not None:
        head, capacity = _sizes(trace)
        later = row.step - head
        spread = jnp.where(later % trace.stride == 0, head + later // trace.stride, capacity)
        index = jnp.where(later < 0, row.step, spread)
    return trace._replace(rows=jax.tree.map(lambda rows, x: rows.at[index].set(x), trace.rows, row))


def room(trace: Any) -> Any:
    """The first step for which there is no row before every other one is dropped."""
    if trace.stride is None:
        return len(trace.rows.step)
    head, capacity = _sizes(trace)
    return head + (capacity - head) * trace.stride


def roomier(trace: Any, step: jax.Array) -> Any:
    """The trace with room for this step."""
    if trace is None or trace.stride is None:
        return trace
    return jax.lax.cond(step >= room(trace), _thin, lambda t: t, trace)


def _sizes(trace: Trace) -> tuple[int, int]:
    """(rows of the first steps, rows but the newest)."""
    capacity = len(trace.rows.step) - 1
    return (capacity // 4 if capacity >= MANY else 0), capacity


def _thin(trace: Any) -> Trace:
    head, capacity = _sizes(trace)

    def thin(rows):
        kept = rows[head:-1:2]
        empty = jnp.zeros((capacity - head - len(kept), *rows.shape[1:]), rows.dtype)
        return jnp.concatenate([rows[:head], kept, empty, rows[-1:]])

    rows = jax.tree.map(thin, trace.rows)
    number = jnp.arange(capacity + 1)
    unused = (number >= head + (capacity - head + 1) // 2) & (number < capacity)
    return Trace(rows._replace(step=jnp.where(unused, -1, rows.step)), 2 * trace.stride)


def trim(rows: Any) -> Any:
    """The rows that were written, in order, on the host; the newest step once."""
    step = np.asarray(rows.step)
    kept = step >= 0
    kept[-1] &= step[-1] > step[:-1].max()
    return jax.tree.map(lambda x: np.asarray(x)[kept], rows)
