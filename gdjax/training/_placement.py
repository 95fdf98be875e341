"""Where the rows and the parameters of a run live: one value, which is given to its state, its epoch and its evaluation.

Nothing else knows of devices. A program computes what it computes on one device; the placement adds constraints, from which
the compiler finds who computes what, and what is exchanged: the rows of a batch are divided over the mesh, and the state
lies where it lay before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gdjax import tree as trees
from gdjax.calls import data_of, is_key
from gdjax.data.shards import Shards, divide
from gdjax.programs import bind, compile_once
from gdjax.text import did_you_mean
from gdjax.types import Batch, Params, RunState, TrainState

WHOLE = PartitionSpec()  # the same on all devices
ROWS = ("replicated", "sharded", "local")


def placement(
    mesh: Mesh | None = None,
    data: str | tuple[str, ...] = "data",
    params: str | Mapping[str, PartitionSpec] | None = None,
    rows: str = "replicated",
) -> Placement:
    """Where the rows and the parameters of a run live, for `make_state`, `make_epoch`, `make_evaluate` and `fit`.

        gd.fit(loss, params, optimizer, data, placement=gd.placement(jax.make_mesh((8,), ("data",))))

    The run is that on one device, to rounding: each device computes its share of the rows of every batch, also where their
    number is not divisible, and its share of a chunk of an evaluation.

    Args:
        mesh: of `jax.make_mesh`, with automatic or explicit axes (default: the one of `jax.set_mesh`).
        data: the axes of the mesh over which rows are divided.
        params: None holds the parameters on every device. "fsdp" splits each leaf over the axes of the data, along its
            largest axis that they divide, and the state of the optimizer, averages and best parameters with it. A dict
            of regular expressions gives the PartitionSpec of the leaves in whose path, such as "layers.0.w", one is found,
            the first that is; other leaves are on every device.
        rows: "replicated" holds all rows on every device; the rows of each batch are those of a run on one device, and none
            is exchanged. "sharded" holds a part of the rows on each device; the rows of each batch are the same, and each
            step exchanges them. "local" holds the same part, and each device draws its share of a batch from it (see
            `gdjax.data.shard_indices`): no row is exchanged, and the batches are others on another number of devices.

    Raises: TypeError or ValueError for what is no mesh, an axis that it has not, or other rows. Where parameters are placed,
        ValueError for a pattern that is found in no path, and for axes that do not divide a leaf.

    >>> place = gd.placement(jax.make_mesh((1,), ("data",)), params="fsdp")
    >>> state = gd.make_state(jnp.ones(4), gd.adam(0.1), placement=place)
    >>> print(state.params.sharding.mesh.shape, place.size)
    OrderedDict({'data': 1}) 1
    """
    mesh = _ambient_mesh() if mesh is None else mesh
    if not isinstance(mesh, Mesh):
        raise TypeError(
            f"placement: mesh must be a Mesh of devices, write jax.make_mesh((8,), ('data',)), got {type(mesh).__name__}"
        )
    axes = (data,) if isinstance(data, str) else tuple(data) if isinstance(data, (tuple, list)) else ()
    if not axes or len({*axes}) < len(axes):
        raise ValueError(f"placement: data must be at least one axis of the mesh, each of them once, got {data!r}")
    if not (params is None or params == "fsdp" or isinstance(params, Mapping)):
        raise ValueError(
            f"placement: params must be None, 'fsdp', or a dict of patterns with their PartitionSpecs, got {params!r}"
        )
    rules = tuple(params.items()) if isinstance(params, Mapping) else params
    for axis in (*axes, *_axes_of(rules)):
        if axis not in mesh.axis_names:
            known = map(str, mesh.axis_names)
            raise ValueError(f"placement: the mesh has no axis {axis!r}; {did_you_mean(axis, known)}")
    if rows not in ROWS:
        raise ValueError(f"placement: rows must be one of {', '.join(ROWS)}, got {rows!r}")
    automatic = Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))
    return Placement(automatic, axes, rules, rows)


def _ambient_mesh() -> Mesh:
    """The mesh that the user has set."""
    try:
        mesh = jax.sharding.get_mesh()
    except ValueError as error:  # within jax.jit, where the mesh that is set has no devices
        raise ValueError("placement: within jax.jit a mesh must be given, got none") from error
    if mesh.empty:
        raise ValueError(
            "placement: a mesh must be given, write placement(jax.make_mesh((8,), ('data',))), or set before by "
            "jax.set_mesh(mesh), got none"
        )
    return mesh


def _axes_of(rules: Any) -> Iterator[Any]:
    """The axes of a mesh that the PartitionSpecs of patterns name."""
    for pattern, spec in () if rules is None or isinstance(rules, str) else rules:
        if not isinstance(spec, PartitionSpec):
            raise TypeError(f"placement: {pattern!r} must have a jax.sharding.PartitionSpec, got {spec!r}")
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise ValueError(f"placement: {pattern!r} must be a regular expression: {error}") from error
        named = [axis for axes in spec for axis in _names(axes)]
        if len({*named}) < len(named):
            raise ValueError(f"placement: {pattern!r} must have each axis of the mesh at most once, got {spec}")
        yield from named


@contextlib.contextmanager
def automatic_axes(placement: Placement | None) -> Iterator[None]:
    """A context in which the mesh of a placement is set, where the user has set one with explicit axes."""
    ambient = jax.sharding.get_abstract_mesh()
    if placement is None or AxisType.Explicit not in ambient.axis_types:
        yield
        return
    with jax.set_mesh(placement.mesh):
        yield


def check_placement(who: str, placement: Any) -> None:
    """Raise TypeError unless it is a Placement or None, and ValueError if it lacks processes that would be waited for."""
    if placement is None:
        return
    if not isinstance(placement, Placement):
        raise TypeError(
            f"{who}: placement must be of gd.placement, write placement=gd.placement(mesh), got a "
            f"{type(placement).__name__}"
        )
    owners = {device.process_index for device in placement.mesh.devices.flat}
    if owners != {jax.process_index()} and len(owners) < jax.process_count():
        raise ValueError(
            f"{who}: the mesh of a placement must have devices of this process alone, or of all {jax.process_count()} "
            f"processes, got those of {sorted(owners)}"
        )


def _names(axes: Any) -> tuple[Any, ...]:
    """The axes of the mesh over which one axis of an array is divided."""
    return () if axes is None else tuple(axes) if isinstance(axes, (tuple, list)) else (axes,)


@dataclasses.dataclass(frozen=True)
class Placement:
    """What `placement` returns; compared by value."""

    mesh: Mesh  # its axes are automatic
    data: tuple[str, ...]
    params: str | tuple[tuple[str, PartitionSpec], ...] | None
    rows: str

    @property
    def size(self) -> int:
        """The number of parts into which rows are divided."""
        return math.prod(self.mesh.shape[axis] for axis in self.data)

    def specs(self, tree: Any, params: Params) -> Any:
        """The PartitionSpec of every leaf of a tree that has to do with these parameters: their slots, their averages.

        A leaf whose path ends in a parameter's path, and which has its shape, lies as that parameter. Under "fsdp" any
        other is split along its own largest divisible axis; else it is on every device. Of the state of a run only what
        grows with the parameters is split: not its history, its keys and its counters.
        """
        if isinstance(tree, RunState):
            parts: dict[str, Any] = {name: getattr(tree, name) for name in ("state", "best")}
        elif isinstance(tree, TrainState):
            parts = {name: getattr(tree, name) for name in ("params", "model_state", "opt_state")}
        else:
            known = {path: (np.shape(x), spec) for path, x, spec in self._of_params(params)}
            return jax.tree_util.tree_map_with_path(lambda path, x: self._spec(path, np.shape(x), known), tree)
        whole: Any = jax.tree.map(lambda _: WHOLE, tree)
        return whole._replace(**{name: self.specs(part, params) for name, part in parts.items()})

    def _spec(self, path: Any, shape: tuple[int, ...], known: dict[Any, Any]) -> PartitionSpec:
        for start in range(len(path) + 1):
            like, spec = known.get(path[start:], (None, WHOLE))
            if like == shape:
                return spec
        return self._by_shape(shape)

    def _by_shape(self, shape: tuple[int, ...]) -> PartitionSpec:
        """The spec of a leaf of which nothing else is known: under "fsdp", its largest axis that is divisible is divided."""
        if self.params != "fsdp":
            return WHOLE
        divisible = [axis for axis, length in enumerate(shape) if length and length % self.size == 0]
        if not divisible:
            return WHOLE
        axis = max(divisible, key=lambda axis: shape[axis])
        return self._normal(PartitionSpec(*[None] * axis, self.data))

    def _of_params(self, params: Params) -> Iterator[tuple[Any, Any, PartitionSpec]]:
        """(path, leaf, spec) of every parameter."""
        leaves = jax.tree_util.tree_leaves_with_path(params)
        rules = self.params if isinstance(self.params, tuple) else ()
        trees.check_patterns("placement", [pattern for pattern, _ in rules], trees.paths_of(params))
        for path, x in leaves:
            name = trees.dotted_path(path)
            given = [spec for pattern, spec in rules if re.search(pattern, name)]
            if given:
                self._check(name, np.shape(x), given[0])
            yield path, x, self._normal(given[0]) if given else self._by_shape(np.shape(x))

    def _check(self, name: str, shape: tuple[int, ...], spec: PartitionSpec) -> None:
        """Raise ValueError unless a leaf can be divided so."""
        if len(spec) > len(shape):
            raise ValueError(
                f"placement: {spec} must have at most as many entries as {name!r} has axes, got a leaf of shape {shape}"
            )
        for length, axes in zip(shape, spec, strict=False):
            parts = math.prod(self.mesh.shape[axis] for axis in _names(axes))
            if length % parts:
                raise ValueError(
                    f"placement: {spec} divides an axis of {name!r} by {parts}, which must divide its length {length}, got "
                    f"shape {shape}"
                )

    def _normal(self, spec: PartitionSpec) -> PartitionSpec:
        """The spec as compiled programs say it: axes of one device are left out."""
        kept = [tuple(axis for axis in _names(axes) if self.mesh.shape[axis] > 1) for axes in spec]
        while kept and not kept[-1]:
            kept.pop()
        return PartitionSpec(*[axes[0] if len(axes) == 1 else axes or None for axes in kept])

    def _shardings(self, specs: Any) -> Any:
        return jax.tree.map(lambda spec: NamedSharding(self.mesh, spec), specs)

    def init(self, function: Callable[..., Params], *args: Any) -> Params:
        """The parameters that a function returns, of which no device keeps more than its share.

        >>> place = gd.placement(jax.make_mesh((1,), ("data",)), params="fsdp")
        >>> print(place.init(gd.models.linear_regression(2).init, jax.random.key(0))["w"].shape)
        (2, 1)
        """
        with automatic_axes(self):
            return trees.whole(compile_once(bind(_init, self, bind(function)))(*self.put(args)))

    def put(self, tree: Any, params: Params | None = None, own: bool = False) -> Any:
        """At the door: every leaf on every device; with the parameters, where `specs` says.

        Args:
            own: whether each leaf is copied to memory of its own.
        """
        specs = jax.tree.map(lambda _: WHOLE, tree) if params is None else self.specs(tree, params)
        return jax.tree.map(lambda x, sharding: _put(x, sharding, own), tree, self._shardings(specs))

    @property
    def divided(self) -> NamedSharding:
        """The sharding of rows that are divided over the devices."""
        return NamedSharding(self.mesh, PartitionSpec(self.data))

    def put_rows(self, data: Batch) -> Batch | Shards:
        """At the door: data as `rows` says; those that were put there, and None, as they are."""
        if isinstance(data, Shards):
            self._check_put(data)
        if data is None or isinstance(data, Shards):
            return data
        return self.put(data) if self.rows == "replicated" else divide(data, self.divided, self.rows == "local")

    def _check_put(self, data: Shards) -> None:
        """Raise ValueError unless rows on devices lie as this placement puts them."""
        rows, mesh = "local" if data.local else "sharded", data.sharding.mesh
        if (data.sharding, rows) != (self.divided, self.rows):
            given, own = (
                f"rows={rows!r} on {mesh.size} devices" for rows, mesh in ((rows, mesh), (self.rows, self.mesh))
            )
            raise ValueError(
                f"placement: rows must be put on devices by the placement that reads them, one with {own}, got those of "
                f"another with {given}; give placement= that one, or the arrays as they were before"
            )

    def spread(self, batch: Batch) -> Batch:
        """In a program: the constraint that the rows of a batch are divided over the mesh; elsewhere they stay."""
        rows = NamedSharding(self.mesh, self._normal(PartitionSpec(self.data)))

        def part(x: Any) -> Any:  # outside of a program only what the mesh divides can lie so
            return jax.lax.with_sharding_constraint(x, rows) if isinstance(x, Tracer) else x

        return jax.tree.map(part, batch)

    def everywhere(self, tree: Any) -> Any:
        """In a program: the constraint that every leaf is on every device."""
        whole = NamedSharding(self.mesh, WHOLE)
        return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, whole), tree)

    def unsplit(self, params: Params) -> Params:
        """In a program: the parameters as a loss reads them. Under "fsdp" they are gathered, and no rows."""
        return self.everywhere(params) if self.params == "fsdp" else params

    def pin(self, tree: Any, params: Params) -> Any:
        """In a program: the constraint that every leaf lies where `specs` says."""
        return jax.tree.map(jax.lax.with_sharding_constraint, tree, self._shardings(self.specs(tree, params)))

    def gather(self, tree: Any) -> Any:
        """Every leaf whole as NumPy, in every process (all of which must call it); of random keys, their data."""
        whole = NamedSharding(self.mesh, WHOLE)
        return jax.tree.map(lambda x: np.asarray(data_of(_put(x, whole, False))), tree)


def _init(placement: Placement, function: Callable[..., Any], *args: Any) -> Any:
    params = trees.part(function(*args))
    return placement.pin(params, params)


def _put(x: Any, sharding: NamedSharding, own: bool) -> jax.Array:
    """The array where it is to lie. One that every process has is not compared with that of the others."""
    if sharding.is_fully_addressable:
        return jax.device_put(trees.distinct_copy(x) if own else x, sharding)  # its own way to a copy shares a buffer
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
        return jax.jit(lambda x: x, out_shardings=sharding)(x) if own or x.sharding != sharding else x
    if is_key(x):
        data = _put(jax.random.key_data(x), sharding, own)
        return jax.jit(lambda data: jax.random.wrap_key_data(data, impl=jax.random.key_impl(x)))(data)
    host = np.asarray(x)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
