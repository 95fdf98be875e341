"""A path of any length, recorded in a fixed number of rows.

Every `stride`-th step has a row. When the rows are full, every other row is dropped and the stride doubles, so that a
hundred rows hold a million steps, evenly spread, and a short run completely. If there are at least 1000 rows, a quarter of
them holds the first steps one by one. An additional row holds the newest step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MANY = 1000  # number of rows from which on a quarter holds the first steps


class Trace(NamedTuple):
    rows: Any  # a tuple with a field `step`, (capacity + 1, ...) each; step is -1 in unused rows
    stride: jax.Array | None  # () int32; None if there is a row for every step


def start_trace(row: Any, capacity: int, roomy: bool = False) -> Trace:
    """An empty trace of rows like this one; a roomy trace has a row for every step."""
    rows = jax.tree.map(lambda x: jnp.zeros((capacity + 1, *jnp.shape(x)), jnp.result_type(x)), row)
    rows = rows._replace(step=jnp.full(capacity + 1, -1, jnp.int32))
    return Trace(rows, None if roomy else jnp.ones((), jnp.int32))


def append(trace: Trace, row: Any) -> Trace:
    """The trace with the next row appended; steps count from 0 by 1."""
    return place(roomier(trace, row.step), row)


def place(trace: Trace, row: Any) -> Trace:
    """`append` for a trace that is not full, for use inside a loop, where a branch would copy the rows."""
    index = row.step
    if trace.stride is not None:
        head, capacity = _sizes(trace)
        later = row.step - head
        spread = jnp.where(later % trace.stride == 0, head + later // trace.stride, capacity)
        index = jnp.where(later < 0, row.step, spread)
    return trace._replace(rows=jax.tree.map(lambda rows, x: rows.at[index].set(x), trace.rows, row))


def room(trace: Any) -> Any:
    """The first step that does not fit before rows are dropped."""
    if trace.stride is None:
        return len(trace.rows.step)
    head, capacity = _sizes(trace)
    return head + (capacity - head) * trace.stride


def roomier(trace: Any, step: jax.Array) -> Any:
    """The trace, thinned if necessary, with room for this step."""
    if trace is None or trace.stride is None:
        return trace
    return jax.lax.cond(step >= room(trace), _thin, lambda t: t, trace)


def _sizes(trace: Trace) -> tuple[int, int]:
    """(number of rows for the first steps, number of rows without that of the newest step)."""
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
    """The used rows in order, on the host, without a duplicate of the newest step."""
    step = np.asarray(rows.step)
    kept = step >= 0
    kept[-1] &= step[-1] > step[:-1].max()
    return jax.tree.map(lambda x: np.asarray(x)[kept], rows)
