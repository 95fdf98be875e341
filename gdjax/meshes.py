"""Explicit meshes, entered once: on an axis of type Explicit every array's type says how it is laid out, and an operation
whose layout is ambiguous (rows taken by index, a reshape) is an error. Inside `on_automatic_axes` the compiler decides.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer
from jax.sharding import AxisType, PartitionSpec


def on_automatic_axes(function: Callable, layout: Callable[..., Any], *args: Any) -> Any:
    """function(*args); where arrays of args lie on an explicit mesh, with its axes automatic inside.

    Args:
        layout: (*args) -> the PartitionSpecs of what function returns, a prefix of its tree; `spec_of` gives an argument's.
    """
    leaves = [leaf for leaf in jax.tree.leaves(args) if isinstance(leaf, jax.Array) and _is_explicit(leaf)]
    if not leaves:
        return function(*args)
    with _context(leaves):
        return jax.sharding.auto_axes(function, out_sharding=layout(*args))(*args)


def replicated(*args: Any) -> PartitionSpec:
    """The layout of what is the same everywhere, metrics say."""
    return PartitionSpec()


def spec_of(tree: Any) -> Any:
    """The PartitionSpec of every leaf, as its type says it; replicated where it says nothing."""
    return jax.tree.map(lambda x: _type(x).spec if _is_explicit(x) else PartitionSpec(), tree)


def _type(x: Any) -> Any:
    return jax.typeof(x).sharding


def _is_explicit(x: Any) -> bool:
    return isinstance(x, jax.Array) and any(kind == AxisType.Explicit for kind in _type(x).mesh.axis_types)


@contextlib.contextmanager
def _context(leaves: list[jax.Array]):
    """The mesh of the leaves as the ambient one: concrete outside of a trace, abstract inside."""
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        with jax.sharding.use_abstract_mesh(_type(leaves[0]).mesh):
            yield
    else:
        sharding: Any = leaves[0].sharding
        with jax.set_mesh(sharding.mesh):
            yield
