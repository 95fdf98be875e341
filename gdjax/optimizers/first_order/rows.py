"""Adagrad and Adam for parameters of which a step uses few rows, such as embeddings.

A gradient may have two forms, which give the same step: an array like the parameter, most of whose rows (entries of the
leading axis) are zero; or `Rows(indices, values)` with these rows alone, whose cost in time and memory is that of the rows:

    looked_up = table[ids]
    grads = Rows(ids, jax.grad(loss_of_looked_up)(looked_up))
    updates, state = optimizer.update(grads, state, table)           updates are Rows too
    table = optax.apply_updates(table, updates)                      `array + Rows` adds row by row

A row whose gradient is zero keeps its parameters and its moments. Trees may mix both forms. Donate the table and the state
to the compiled step; otherwise each is copied once.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.types import OptState


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows of an array: `indices` (k,) int, `values` (k, ...). The values of a repeated index are added.

    Indices outside the array are ignored. `array + rows` is the array with the values added.
    """

    indices: jax.Array
    values: jax.Array

    __array_ufunc__ = None  # so that NumPy defers to this class

    def __radd__(self, array: Any) -> jax.Array:
        array = jnp.asarray(array)
        dtype = jnp.result_type(array, self.values)
        return array.astype(dtype).at[self.indices].add(self.values.astype(dtype), mode="drop")


def by_rows(who: str, init: Any, update: Any) -> tuple[Any, Any]:
    """A `leafwise` pair whose gradients may be `Rows`: the rows are gathered, updated, and scattered."""

    def update_rows(grads: Any, state: OptState, params: Any = None, **extra_args: Any) -> tuple[Any, OptState]:
        if not any(map(_is_rows, jax.tree.leaves(grads, is_leaf=_is_rows))):
            return update(grads, state, params, **extra_args)
        like = next(iter(state.slots.values()))
        tree.check_like(who, "grads", _map(lambda *_: 0, grads), "the state", jax.tree.map(lambda _: 0, like))
        grads = _map(lambda path, g, x: _sum_rows(who, path, g, x) if _is_rows(g) else g, grads, like)
        taken = OptState(state.count, {name: _take(grads, slot) for name, slot in state.slots.items()})
        rows = None if params is None else _take(grads, params)
        values = _map(lambda _, g: g.values if _is_rows(g) else g, grads)
        updates, new = update(values, taken, rows, **extra_args)
        updates = _map(lambda _, g, u: Rows(g.indices, u) if _is_rows(g) else u, grads, updates)
        slots = {name: _put(grads, slot, new.slots[name]) for name, slot in state.slots.items()}
        return updates, OptState(new.count, slots)

    return init, update_rows


def _is_rows(x: Any) -> bool:
    return isinstance(x, Rows)


def _map(function: Any, grads: Any, *rest: Any) -> Any:
    return jax.tree_util.tree_map_with_path(function, grads, *rest, is_leaf=_is_rows)


def _sum_rows(who: str, path: tuple[Any, ...], g: Rows, x: jax.Array) -> Rows:
    """Each row once, in order; unused entries have an index behind the last row and the value 0."""
    if np.shape(g.values) != (*np.shape(g.indices), *np.shape(x)[1:]) or np.ndim(g.indices) != 1:
        raise ValueError(
            f"{who}: {tree.leaf_name('grads', path)} must have indices (k,) and values (k, ...) for rows of shape "
            f"{np.shape(x)[1:]}, got {np.shape(g.indices)} and {np.shape(g.values)}"
        )
    (k,), number = g.indices.shape, x.shape[0]
    from_start = jnp.where(g.indices < 0, g.indices + number, g.indices)
    valid = jnp.where((from_start >= 0) & (from_start < number), from_start, number)
    indices, place = jnp.unique(valid, size=k, fill_value=number, return_inverse=True)
    values = jnp.asarray(g.values, tree.arithmetic_dtype(g.values))
    total = jax.ops.segment_sum(values, place.reshape(-1), num_segments=k)
    inside = (indices < number).reshape(-1, *(1,) * (x.ndim - 1))
    return Rows(indices, jnp.where(inside, total, 0).astype(g.values.dtype))


def _take(grads: Any, like: Any) -> Any:
    return _map(lambda _, g, x: x.at[g.indices].get(mode="clip") if _is_rows(g) else x, grads, like)


def _put(grads: Any, like: Any, new: Any) -> Any:
    return _map(lambda _, g, x, n: x.at[g.indices].set(n, mode="drop") if _is_rows(g) else n, grads, like, new)
