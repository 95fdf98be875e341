"""A copy of a run's state on the host, and the state again."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import is_key
from gdjax.training.blocks import Start, blocks_of, find_region
from gdjax.training.manifest import CheckpointError
from gdjax.types import RunState


class Leaf(NamedTuple):
    """A leaf on the host, and what a manifest says of it."""

    blocks: dict[Start, np.ndarray]  # of this process; of a random key, its data
    about: dict[str, Any]  # dtype, shape, kind; weak if its dtype is


class Snapshot(NamedTuple):
    """A copy of a state on the host."""

    leaves: dict[str, Leaf]  # by path
    structure: Any  # the state's PyTreeDef
    step: int
    value: float | None


def take_snapshot(who: str, run_state: RunState) -> Snapshot:
    """Copy a state, which may be donated afterwards.

    Raises: TypeError unless it is a RunState; CheckpointError for a leaf that cannot be saved, with its path.
    """
    check_run_state(who, "run_state", run_state)
    leaves, structure = jax.tree_util.tree_flatten_with_path(run_state)
    for _, x in leaves:
        for _, part in blocks_of(x):
            if isinstance(part, jax.Array):
                part.copy_to_host_async()
    taken = {jax.tree_util.keystr(path): _take(f"{who}: {jax.tree_util.keystr(path)}", x) for path, x in leaves}
    if len(taken) < len(leaves):
        raise CheckpointError(
            f"{who}: each leaf must have a path of its own, got {len(leaves)} leaves, {len(taken)} paths"
        )
    return Snapshot(taken, structure, step_of(run_state), _best_value(run_state))


def check_run_state(who: str, name: str, run_state: Any) -> None:
    """Raise TypeError for anything but a RunState."""
    if not isinstance(run_state, RunState):
        raise TypeError(
            f"{who}: {name} must be a RunState (of start_run, of segments, or result.run_state), got a "
            f"{type(run_state).__name__}"
        )


def step_of(run_state: RunState) -> int:
    """The number of batches read; of a stack of states, the largest."""
    return int(np.max(run_state.state.batches))


def _best_value(run_state: RunState) -> float | None:
    """The best monitored value so far, None before there is one; of a stack, the smallest."""
    value = float(np.min(run_state.best_value))
    return value if math.isfinite(value) else None


def _take(what: str, x: Any) -> Leaf:
    blocks = {start: np.array(part, order="C", copy=True) for start, part in blocks_of(x)}
    for data in blocks.values():
        if data.dtype.kind in "OSUMm" or data.dtype.names or not data.dtype.isnative:
            raise CheckpointError(f"{what} must be an array of numbers, got dtype {data.dtype}")
    kind = "device" if isinstance(x, jax.Array) else "numpy" if isinstance(x, (np.ndarray, np.generic)) else "python"
    about = {"dtype": str(_dtype(x)), "shape": [*np.shape(x)], "kind": kind}
    return Leaf(blocks, about | {"weak": True} if getattr(x, "weak_type", False) else about)


def _dtype(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype


class _Anything:
    """Stands for a leaf in the text of a structure."""

    def __repr__(self) -> str:
        return "*"


def describe(structure: Any) -> str:
    """The text of a structure, the same in every process: nodes as their calls, and every leaf as *."""
    blank = jax.tree.unflatten(structure, [_Anything()] * structure.num_leaves)
    return re.sub(r" at 0x[0-9a-f]+", "", repr(blank))


def check_structure(leaves: Mapping[str, Any], structure: str, like: RunState) -> None:
    """Raise CheckpointError at the first path at which paths, dtypes, shapes or calls differ from those of like.

    Args:
        leaves: path -> what the manifest says of the leaf.
        structure: the text of `describe`.
    """
    theirs = {jax.tree_util.keystr(path): x for path, x in jax.tree_util.tree_leaves_with_path(like)}
    if lacking := [name for name in theirs if name not in leaves]:
        raise CheckpointError(f"it lacks {lacking[0]}, which the run has")
    if extra := [name for name in leaves if name not in theirs]:
        raise CheckpointError(f"it has {extra[0]}, which the run has not")
    for name, x in theirs.items():
        _check_leaf(name, leaves[name], x, np.ndim(like.evaluations) if name.startswith(".history[") else None)
    if structure != (here := describe(jax.tree.structure(like))):
        same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(structure, here, strict=False))
        at = max(sum(1 for _ in same) - 40, 0)
        there, here = (text[at : at + 80] for text in (structure, here))
        raise CheckpointError(f"it must have the structure of the run, ...{here}..., got ...{there}...")


def _check_leaf(name: str, about: Mapping[str, Any], like: Any, rows: int | None) -> None:
    """Raise CheckpointError for another dtype or shape; `rows` is the axis of a history, of which any length will do."""
    if about["dtype"] != str(_dtype(like)):
        raise CheckpointError(f"{name} must have dtype {_dtype(like)} as in the run, got {about['dtype']}")
    got, must = tuple(about["shape"]), np.shape(like)
    without = lambda shape: shape if rows is None else (*shape[:rows], "any", *shape[rows + 1 :])  # noqa: E731
    if without(got) != without(must):
        raise CheckpointError(f"{name} must have shape {must} as in the run, got {got}")


def restore_state(leaves: Mapping[str, Mapping[str, Any]], entries: Mapping[str, Any], like: RunState) -> RunState:
    """The state with these leaves, which fit; each array lies where that of like does."""

    def restore(path, x):
        name = jax.tree_util.keystr(path)
        return _restore(name, leaves[name], entries, x)

    return jax.tree_util.tree_map_with_path(restore, like)


def _restore(name: str, about: Mapping[str, Any], entries: Mapping[str, Any], like: Any) -> Any:
    shape, kind, key = tuple(about["shape"]), about["kind"], is_key(like)
    words = jax.eval_shape(jax.random.key_data, like).shape[like.ndim :] if key else ()
    dtype = np.dtype(np.uint32) if key else _dtype(like)

    def data(where: tuple[Any, ...] = ()) -> np.ndarray:
        return find_region(name, about.get("blocks"), entries, dtype, (*shape, *words), where)

    def array(where: tuple[Any, ...] = (), device: Any = None) -> jax.Array:
        placed = jax.device_put(data(where), device, may_alias=False)
        return jax.random.wrap_key_data(placed, impl=jax.random.key_impl(like)) if key else placed

    if isinstance(like, jax.Array) and not like.is_fully_addressable:
        where = like.sharding.addressable_devices_indices_map(shape)
        pieces = [array(index or (), device) for device, index in where.items()]
        spread = jax.make_array_from_single_device_arrays(shape, like.sharding, pieces)
        return jax.jit(_weak, out_shardings=like.sharding)(spread) if about.get("weak") else spread
    if key:
        return _place(array(), like)
    if kind == "device":
        return _place(_weak(data()) if about.get("weak") else data(), like)
    if kind == "python":
        return data().item()
    own = data().copy()  # the bytes of the file are not kept
    own.flags.writeable = False
    return own


def _place(x: Any, like: Any) -> jax.Array:
    """The array in memory of its own, where like lies."""
    placed = isinstance(like, jax.Array) and like.committed and like.shape == x.shape
    return jax.device_put(x, like.sharding if placed else None, may_alias=False)


def _weak(data: Any) -> jax.Array:
    """An array whose dtype is weak, as that of a Python number."""
    return jnp.full(data.shape, data.dtype.type(0).item()).at[...].set(data)
