"""Explicit meshes, on which the sharding is part of an array's type and an operation whose sharding is ambiguous (a gather
of rows, a reshape) is an error. Inside `on_automatic_axes` the compiler decides.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, PartitionSpec

from gdjax.programs import bind, compile_once


def on_automatic_axes(function: Callable[..., Any], layout: Callable[..., Any], *args: Any) -> Any:
    """function(*args), with automatic axes inside if the arrays are on an explicit mesh or one is ambient.

    Args:
        function: compared by value, so that outside of a trace it is compiled once.
        layout: (*args) -> the PartitionSpecs of what function returns, a prefix of its tree; see `spec_of`.
    """
    if _mesh(args) is None:
        return function(*args)
    automatic = Automatic(bind(function), layout)
    leaves = _explicit_leaves(args) or jax.tree.leaves(args)
    return automatic(*args) if all(isinstance(leaf, Tracer) for leaf in leaves) else compile_once(automatic)(*args)


@dataclasses.dataclass(frozen=True)
class Automatic:
    """A function of tracers on an explicit mesh, traced with its axes automatic."""

    function: Callable[..., Any]
    layout: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        with jax.sharding.use_abstract_mesh(_mesh(args)):
            return jax.sharding.auto_axes(self.function, out_sharding=self.layout(*args))(*args)


def replicate(*args: Any) -> PartitionSpec:
    """The PartitionSpec of values that are the same on all devices, such as metrics."""
    return PartitionSpec()


def spec_of(tree: Any) -> Any:
    """The PartitionSpec of every leaf, read from its type; replicated if its mesh has no explicit axis."""
    return jax.tree.map(lambda x: _type(x).spec if _is_explicit(x) else PartitionSpec(), tree)


def mesh_of(tree: Any) -> contextlib.AbstractContextManager[Any]:
    """A context in which the explicit mesh of the leaves, if any, is ambient; for programs that read only shapes."""
    leaves = _explicit_leaves(tree)
    if not leaves:
        return contextlib.nullcontext()
    if isinstance(leaves[0], Tracer):
        return jax.sharding.use_abstract_mesh(_type(leaves[0]).mesh)
    return jax.set_mesh(leaves[0].sharding.mesh)


def off_mesh(tree: Any) -> Any:
    """The tree with every leaf on the host that lies on an explicit mesh of this process."""
    return jax.tree.map(lambda x: _on_host(x) if _is_explicit(x) and x.is_fully_addressable else x, tree)


def _on_host(x: jax.Array) -> Any:
    """The array on the host; a key, which has no form there, on one device."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(np.asarray(jax.random.key_data(x))), impl=jax.random.key_impl(x))
    return np.asarray(x)


def automatic_mesh() -> contextlib.AbstractContextManager[Any]:
    """A context in which the mesh that is set, if it has explicit axes, has automatic ones; outside of a trace."""
    if not _has_explicit_axes(jax.sharding.get_abstract_mesh()):
        return contextlib.nullcontext()
    mesh = jax.sharding.get_mesh()
    return jax.set_mesh(Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names)))


def _mesh(tree: Any) -> Any:
    """The explicit mesh of the leaves, else the ambient one, else None."""
    leaves, ambient = _explicit_leaves(tree), jax.sharding.get_abstract_mesh()
    return _type(leaves[0]).mesh if leaves else ambient if _has_explicit_axes(ambient) else None


def _explicit_leaves(tree: Any) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(tree) if _is_explicit(leaf)]


def _is_explicit(x: Any) -> bool:
    return isinstance(x, jax.Array) and _has_explicit_axes(_type(x).mesh)


def _has_explicit_axes(mesh: Any) -> bool:
    return any(kind == AxisType.Explicit for kind in mesh.axis_types)


def _type(x: Any) -> Any:
    return jax.typeof(x).sharding
