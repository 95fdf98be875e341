"""Sets with a nearest point: call nodes that project a tree, all its leaves together as one vector.

    box(0, 1)({"w": w, "b": b})          the nearest tree with all entries in [0, 1]

    set                        nearest point to x
    box(lower, upper)          min(max(x, lower), upper)
    non_negative()             max(x, 0)
    simplex(scale)             max(x - theta, 0) with theta such that the sum is scale
    l1_ball(radius)            sign(x) simplex(|x|) if outside
    l2_ball(radius)            x radius / |x| if outside
    linf_ball(radius)          each entry shortened to the radius
    hyperplane(normal, offset) x - a (<a, x> - b) / |a|²
    halfspace(normal, offset)  the same if <a, x> > b
    each_leaf(onto)            every leaf a point of its own

The numbers are leaves, so a sweep over a radius is a `vmap` and a bound can be learned. Leaves that are None are not
there. The wrapper `project(inner, onto)` keeps descent inside a set.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.nodes import Node, decorator, register


class Set(Node):
    """A closed convex set as a node: called with a tree it gives the nearest tree of the set, in the same dtypes."""

    def __call__(self, params: Any) -> Any:
        wide = jax.tree.map(lambda x: jnp.asarray(x, tree.arithmetic_dtype(x)), params)
        return tree.cast_like(self.build()(wide), params) if jax.tree.leaves(params) else params


register(Set)
projection = decorator(Set, "A factory of sets from a body that returns the function x -> nearest point.")


@projection
def box(lower: Any = None, upper: Any = None):
    """lower <= x <= upper, entry by entry. Each a number, an array, a tree of them like x or a prefix; None: unbounded.

    Raises: ValueError if a lower number exceeds the upper one.
    """
    if isinstance(lower, int | float) and isinstance(upper, int | float) and lower > upper:
        raise ValueError(f"box: lower must be at most upper, got {lower} > {upper}")

    def nearest(x: Any) -> Any:
        _refuse_complex("box", x)
        if lower is not None:
            x = _bounded(jnp.maximum, "lower", lower, x)
        return x if upper is None else _bounded(jnp.minimum, "upper", upper, x)

    return nearest


@projection
def non_negative():
    """x >= 0, entry by entry."""

    def nearest(x: Any) -> Any:
        _refuse_complex("non_negative", x)
        return jax.tree.map(lambda leaf: jnp.maximum(leaf, 0), x)

    return nearest


@projection(bounds={"scale": "[0, inf)"})
def simplex(scale=1.0):
    """x >= 0 with sum scale; 1 gives the probabilities.

    theta is the largest of the (x_1 + ... + x_k - scale) / k over the k largest entries: Held, Wolfe & Crowder 1974;
    Duchi et al. 2008, figure 1.
    """

    def nearest(x: Any) -> Any:
        _refuse_complex("simplex", x)
        return _raveled(lambda flat: _onto_simplex(flat, scale), x)

    return nearest


@projection(bounds={"radius": "[0, inf)"})
def l1_ball(radius=1.0):
    """sum |x| <= radius: the set of sparse solutions. Duchi et al. 2008, section 4."""

    def nearest(flat: jax.Array) -> jax.Array:
        size = tree.absolute(flat)
        return jnp.where(jnp.sum(size) > radius, jnp.sign(flat) * _onto_simplex(size, radius), flat)

    return lambda x: _raveled(nearest, x)


@projection(bounds={"radius": "[0, inf)"})
def l2_ball(radius=1.0):
    """|x| <= radius, the Euclidean norm of all leaves together."""

    def nearest(x: Any) -> Any:
        factor = shortening(tree.global_norm(x), radius)
        return jax.tree.map(lambda leaf: leaf * factor, x)

    return nearest


@projection(bounds={"radius": "[0, inf)"})
def linf_ball(radius=1.0):
    """|x| <= radius, entry by entry."""

    def nearest(leaf: jax.Array) -> jax.Array:
        if jnp.iscomplexobj(leaf):
            return leaf * shortening(tree.absolute(leaf), radius)
        return jnp.clip(leaf, -radius, radius)

    return lambda x: jax.tree.map(nearest, x)


@projection
def hyperplane(normal: Any, offset=0.0):
    """<normal, x> = offset, with normal a tree like x; one of zeros leaves x as it is."""
    return lambda x: _along(normal, x, _excess(normal, x, offset))


@projection
def halfspace(normal: Any, offset=0.0):
    """<normal, x> <= offset, with normal a tree like x; one of zeros leaves x as it is."""
    return lambda x: _along(normal, x, jnp.maximum(_excess(normal, x, offset), 0))


@projection
def each_leaf(onto):
    """Every leaf in the set by itself, e.g. `each_leaf(l2_ball(3.0))`, a largest norm of each layer's weights.

    Args:
        onto: a set, or any function array -> array.
    """
    return lambda x: jax.tree.map(onto, x)


@projection
def from_function(function):
    """What a function params -> params makes of them, whatever that is."""
    return function


def as_set(onto: Any) -> Set:
    """A set as it is, a bare function as one."""
    return onto if isinstance(onto, Set) else from_function(onto)


PROJECTIONS: dict[str, Callable[..., Set]] = {
    factory.__name__: factory
    for factory in (box, non_negative, simplex, l1_ball, l2_ball, linf_ball, hyperplane, halfspace, each_leaf)
}


def _onto_simplex(x: jax.Array, scale: Any) -> jax.Array:
    x = x - jnp.max(x)  # moves theta alone, and keeps large entries exact
    sums = jnp.cumsum(jnp.sort(x, descending=True))
    theta = jnp.max((sums - scale) / jnp.arange(1, x.size + 1, dtype=x.dtype))
    return jnp.maximum(x - theta, 0)


def _refuse_complex(who: str, x: Any) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(x):
        if jnp.iscomplexobj(leaf):
            raise TypeError(f"{who}: x{tree.path_string(path)} must be real to be ordered, got {leaf.dtype}")


def shortening(size: jax.Array, limit: Any) -> jax.Array:
    """The factor in [0, 1] that brings a size down to a limit; 1 for a size of 0."""
    return jnp.where(size > limit, limit / jnp.where(size > 0, size, 1), 1)


def _excess(normal: Any, x: Any, offset: Any) -> jax.Array:
    """(<normal, x> - offset) / |normal|², 0 for a normal of zeros."""
    tree.check_like("hyperplane", "normal", normal, "x", x)
    products = tree.leafmap(lambda a, leaf: jnp.sum(jnp.real(jnp.conj(a) * leaf)), normal, x)
    square = sum(tree.leafmap(lambda a: jnp.sum(tree.abs_sq(jnp.asarray(a))), normal))
    return jnp.where(square > 0, (sum(products) - offset) / jnp.where(square > 0, square, 1), 0)


def _along(normal: Any, x: Any, length: jax.Array) -> Any:
    return jax.tree.map(lambda a, leaf: leaf - length * a, normal, x)


def _bounded(function: Callable, name: str, bound: Any, x: Any) -> Any:
    """function(leaf, its bound) over a tree, the bound a prefix of it; ValueError where they do not fit."""
    try:
        bounds = jax.tree.broadcast(bound, x)
    except ValueError as error:
        raise ValueError(f"box: {name} must be a number, or a tree like x or a prefix of it; {error}") from error

    def apply(path, leaf, b):
        shape = jnp.shape(b)
        ends = zip(reversed(shape), reversed(leaf.shape), strict=False)
        if len(shape) > leaf.ndim or any(size not in (1, of_leaf) for size, of_leaf in ends):
            where = tree.path_string(path) if path else ""
            raise ValueError(f"box: {name}{where} must have shape {leaf.shape} or (), got {shape}")
        return function(leaf, b)

    return jax.tree_util.tree_map_with_path(apply, x, bounds)


def _raveled(function: Callable[[jax.Array], jax.Array], x: Any) -> Any:
    """A function of one vector on all leaves together."""
    leaves, structure = jax.tree.flatten(x)
    if not any(leaf.size for leaf in leaves):
        return x
    flat = function(jnp.concatenate([jnp.ravel(leaf) for leaf in leaves]))
    ends = itertools.accumulate((leaf.size for leaf in leaves), operator.add)
    parts = [flat[end - leaf.size : end].reshape(leaf.shape) for leaf, end in zip(leaves, ends, strict=True)]
    return structure.unflatten(parts)
