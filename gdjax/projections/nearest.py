"""The geometry of nearest points: simplices and spheres of one vector, normals, and trees as one vector."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree


def onto_simplex(x: jax.Array, scale: Any) -> jax.Array:
    x = jnp.where(x == jnp.max(x), 0, x - jnp.max(x))  # moves theta alone, and keeps large entries exact
    sums = jnp.cumsum(jnp.sort(x, descending=True))
    theta = jnp.max((sums - scale) / jnp.arange(1, x.size + 1, dtype=x.dtype))
    return jnp.maximum(x - theta, 0)


def onto_l1_sphere(x: jax.Array, radius: Any) -> jax.Array:
    """The nearest point with sum |x| = radius in the orthant of x."""
    return signs(x) * onto_simplex(tree.absolute(x), radius)


def refuse_complex(who: str, x: Any) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(x):
        if jnp.iscomplexobj(leaf):
            raise TypeError(f"{who}: {tree.leaf_name('x', path)} must be real to be ordered, got {leaf.dtype}")


def refuse_integers(who: str, x: Any) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(x):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            where = tree.leaf_name("x", path)
            raise TypeError(f"{who}: {where} must be floating or complex, got {jnp.result_type(leaf)}")


def limit(x: Any) -> Any:
    """x, or where an entry is infinite its direction: a large number in place of each such entry, 0 for the others."""

    def of_part(part, some):
        large = jnp.sign(part) * (jnp.finfo(part.dtype).max / 4)
        return jnp.where(some & ~jnp.isnan(part), jnp.where(jnp.isinf(part), large, 0), part)

    def of_leaf(leaf, some):
        return (
            jax.lax.complex(of_part(leaf.real, some), of_part(leaf.imag, some))
            if jnp.iscomplexobj(leaf)
            else of_part(leaf, some)
        )

    some = functools.reduce(jnp.logical_or, (jnp.any(jnp.isinf(leaf)) for leaf in jax.tree.leaves(x)))
    return jax.tree.map(lambda leaf: of_leaf(leaf, some), x)


def signs(x: jax.Array) -> jax.Array:
    """x / |x| of each entry; that of an infinite one is its direction."""
    return jnp.sign(finite(x)) if jnp.iscomplexobj(x) else jnp.sign(x)


def finite(x: jax.Array) -> jax.Array:
    """A large number in the direction of each infinite entry."""
    return jnp.where(jnp.isinf(x), limit(x), x)


def excess(who: str, normal: Any, x: Any, offset: Any, name: str = "normal") -> tuple[jax.Array, Any]:
    """How far x is beyond the plane, in units of a normal of length 1, and that normal; 0 for a normal of zeros."""
    tree.check_like(who, name, normal, "x", x)
    size, scale = tree.norm(normal)
    unit = jax.tree.map(lambda a: tree.ratio(a * scale, size), normal)

    def product(a, leaf):
        return jnp.sum(jnp.where(a == 0, 0, jnp.real(jnp.conj(a) * jnp.where(a == 0, 0, leaf))))

    return sum(tree.leafmap(product, unit, x)) - tree.ratio(offset * scale, size), unit


def along(unit: Any, x: Any, length: jax.Array) -> Any:
    return jax.tree.map(lambda a, leaf: jnp.where(a == 0, leaf, leaf - length * a), unit, x)


def apply_to_vector(function: Callable[[jax.Array], jax.Array], x: Any) -> Any:
    """A function of one vector on all leaves together."""
    leaves, structure = jax.tree.flatten(x)
    if not any(leaf.size for leaf in leaves):
        return x
    flat = function(jnp.concatenate([jnp.ravel(leaf) for leaf in leaves]))
    ends = itertools.accumulate((leaf.size for leaf in leaves), operator.add)
    parts = [flat[end - leaf.size : end].reshape(leaf.shape) for leaf, end in zip(leaves, ends, strict=True)]
    return structure.unflatten(parts)
