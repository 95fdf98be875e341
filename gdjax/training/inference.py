"""The placement of a run whose arrays lie on several devices already."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gdjax import tree
from gdjax.data import is_loader, is_source
from gdjax.data.shards import Shards
from gdjax.training._placement import Placement, check_placement, placement
from gdjax.training.resume import params_of
from gdjax.training.sameness import check_same
from gdjax.types import Batch, Params

Where = tuple[str, Any]  # the name of a jax.Array in the call of `fit`, and the array


def as_placement(
    placement: Placement | None, params: Params, data: Any, validation: Any, resume: Any, beside: Any
) -> tuple[Placement | None, tuple[str, ...]]:
    """The placement of a call of `fit`, given or inferred, and a remark about the latter.

    Args:
        beside: what else of the run is given to each process, and must be the same in all of them.

    Raises: ValueError as `infer_placement` does, or for parameters or `beside` that differ between processes.
    """
    check_placement("fit", placement)
    remarks: tuple[str, ...] = ()
    if placement is None:
        placement, remarks = infer_placement(params_of(resume, params), data, validation)
    if placement is not None:
        what = "what is given beside the data (params, optimizer, model_state, key)"
        check_same("fit", what, (params, beside), placement.mesh)
    return placement, remarks


def infer_placement(params: Params, data: Batch, validation: Batch) -> tuple[Placement | None, tuple[str, ...]]:
    """The placement that the shardings of arrays say, and a remark about it; None if all lie on one device.

    Rows are divided over the axes of the leading axis of the data. If they lie on all devices, each batch is divided over
    the axes that no parameter uses. Parameters stay where they lie.

    Raises: ValueError for shardings that no placement has, and, in a computation of several processes, for arrays of one.
    """
    rows = [*_arrays("data", data), *_arrays("validation", validation)]
    spread = [each for each in (*_arrays("params", params), *rows) if len(each[1].sharding.device_set) > 1]
    if not spread:
        _check_alone()
        return None, ()
    mesh = _mesh(spread)
    given = {tree.dotted_path(path): spec for path, spec in _specs(params, mesh)}
    used = {axis for spec in given.values() for axis in _names(spec)}
    axes = _axes_of_rows([each for each in rows if len(each[1].sharding.device_set) > 1])
    free = tuple(axis for axis in mesh.axis_names if axis not in used) or mesh.axis_names
    rules = {f"^{re.escape(name)}$": spec for name, spec in given.items() if any(_names(spec))}
    how = "local" if isinstance(data, Shards) and data.local else "sharded" if axes else "replicated"
    found = placement(mesh, axes or free, rules or None, how)
    return found, (_remark(found),)


def _remark(found: Placement) -> str:
    axes = ", ".join(map(repr, found.data))
    how = {
        "sharded": "as the rows lie: each step exchanges a batch",
        "local": "each draws from its own rows",
        "replicated": "though each has all rows",
    }
    return f"batches are divided over the {found.size} devices of {axes}, {how[found.rows]}; to choose give placement="


def _check_alone() -> None:
    """Raise ValueError if there are other processes."""
    if jax.process_count() > 1:
        raise ValueError(
            f"fit: arrays of one process would train {jax.process_count()} models, one in each process; write "
            "placement=gd.placement(mesh) with a mesh over the devices of all of them"
        )


def _arrays(name: str, part: Any) -> list[Where]:
    leaves = [] if is_loader(part) or is_source(part) else jax.tree_util.tree_leaves_with_path(part, is_leaf=is_loader)
    return [(tree.leaf_name(name, path), x) for path, x in leaves if isinstance(x, jax.Array)]


def _mesh(spread: list[Where]) -> Mesh:
    """The mesh on which all of them lie."""
    for name, x in spread:
        if not isinstance(x.sharding, NamedSharding):
            raise ValueError(
                f"fit: arrays on several devices must lie by a NamedSharding of a mesh, got {type(x.sharding).__name__} at "
                f"{name}; write placement=gd.placement(mesh), which moves them"
            )
    (first, mesh), *others = ((name, x.sharding.mesh) for name, x in spread)
    for name, other in others:
        if (other.axis_names, other.devices.tolist()) != (mesh.axis_names, mesh.devices.tolist()):
            raise ValueError(
                f"fit: all arrays must lie on one mesh, got {first} on {_told(mesh)} and {name} on {_told(other)}; write "
                "placement=gd.placement(mesh), which moves them"
            )
    return mesh


def _told(mesh: Mesh) -> str:
    ids = sorted(device.id for device in mesh.devices.flat)
    shape = ", ".join(f"{axis}={size}" for axis, size in mesh.shape.items())
    return f"Mesh({shape}) of the devices {ids[0]} to {ids[-1]}"


def _specs(params: Params, mesh: Mesh) -> Iterator[tuple[Any, PartitionSpec]]:
    """(path, spec) of every parameter that lies on the mesh."""
    for path, x in jax.tree_util.tree_leaves_with_path(params):
        if isinstance(x, jax.Array) and isinstance(x.sharding, NamedSharding):
            yield path, x.sharding.spec


def _axes_of_rows(rows: list[Where]) -> tuple[Any, ...]:
    """The axes of the mesh over which the rows of the data are divided; () if they are on all devices."""
    found: dict[tuple[Any, ...], str] = {}
    for name, x in rows:
        first, *rest = *x.sharding.spec, None
        if any(_names(rest)):
            raise ValueError(
                f"fit: data may be divided by rows, their leading axis, alone, got {x.sharding.spec} at {name}; write "
                "placement=gd.placement(mesh), which moves them"
            )
        if axes := tuple(_names([first])):
            found[axes] = name
    if len(found) > 1:
        (one, name), (other, where), *_ = found.items()
        raise ValueError(
            f"fit: all rows must be divided over the same axes of the mesh, got {one} at {name} and {other} at {where}; "
            "write placement=gd.placement(mesh, data=axes), which moves them"
        )
    return next(iter(found), ())


def _names(spec: Any) -> Iterator[Any]:
    for axes in spec:
        yield from () if axes is None else axes if isinstance(axes, tuple) else (axes,)
