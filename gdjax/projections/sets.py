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

The nearest point is computed in at least float32; in 16 bits it is rounded into the set, not out of it (a simplex or a
hyperplane, of which most 16-bit numbers are no points, is met to rounding). An infinite entry counts as one that grows
beyond all others: the nearest point is the limit, in a ball and the simplex with nothing left for the finite entries;
along a normal that does not vanish there the limit is no point, and gives NaN.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.calls import Decorator, Node, decorator, is_concrete, is_number, register


class Set(Node):
    """A closed convex set as a node: called with a tree it gives the nearest tree of the set, in the same dtypes.

    Raises: TypeError for integers, most of whose nearest points are none.
    """

    def __call__(self, params: Any) -> Any:
        if not jax.tree.leaves(params):
            return params
        refuse_integers(self.recipe.name, params)
        nearest = self.build()
        return _round_inside(nearest, nearest(_wide(params)), params)


register(Set)
projection: Decorator[Set] = decorator(
    Set, "A factory of sets from a body that returns the function x -> nearest point."
)


@projection
def box(lower: Any = None, upper: Any = None):
    """lower <= x <= upper, entry by entry. Each a number, an array, a tree of them like x or a prefix; None: unbounded.

    Raises: ValueError if a lower number exceeds the upper one.
    """
    if is_number(lower) and is_number(upper) and 0 in (np.ndim(lower), np.ndim(upper)):
        _check_order(lower, upper)

    def nearest(x: Any) -> Any:
        _refuse_complex("box", x)
        if lower is None:
            return x if upper is None else _map_bounds(jnp.minimum, "upper", upper, x)
        x = _map_bounds(jnp.maximum, "lower", lower, x)
        if upper is None:
            return x
        x = _map_bounds(jnp.minimum, "upper", upper, x)
        jax.tree.map(lambda _, *ends: _check_order(*ends), x, *(jax.tree.broadcast(end, x) for end in (lower, upper)))
        return x

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
        return apply_to_vector(lambda flat: _onto_simplex(flat, scale), x)

    return nearest


@projection(bounds={"radius": "[0, inf)"})
def l1_ball(radius=1.0):
    """sum |x| <= radius: the set of sparse solutions. Duchi et al. 2008, section 4."""

    def nearest(flat: jax.Array) -> jax.Array:
        return jnp.where(jnp.sum(tree.absolute(flat)) > radius, onto_l1_sphere(flat, radius), flat)

    return lambda x: apply_to_vector(nearest, x)


@projection(bounds={"radius": "[0, inf)"})
def l2_ball(radius=1.0):
    """|x| <= radius, the Euclidean norm of all leaves together."""

    return lambda x: tree.shorten(_limit(x), radius)


@projection(bounds={"radius": "[0, inf)"})
def linf_ball(radius=1.0):
    """|x| <= radius, entry by entry."""

    def nearest(leaf: jax.Array) -> jax.Array:
        if jnp.iscomplexobj(leaf):
            return tree.shorten_entries(_finite(leaf), radius)
        return jnp.clip(leaf, -radius, radius)

    return lambda x: jax.tree.map(nearest, x)


@projection
def hyperplane(normal: Any, offset=0.0):
    """<normal, x> = offset, with normal a tree like x; one of zeros leaves x as it is."""

    def nearest(x: Any) -> Any:
        beyond, unit = excess("hyperplane", normal, x, offset)
        return _along(unit, x, beyond)

    return nearest


@projection
def halfspace(normal: Any, offset=0.0):
    """<normal, x> <= offset, with normal a tree like x; one of zeros leaves x as it is."""

    def nearest(x: Any) -> Any:
        beyond, unit = excess("halfspace", normal, x, offset)
        return _along(unit, x, jnp.maximum(beyond, 0))

    return nearest


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
    x = jnp.where(x == jnp.max(x), 0, x - jnp.max(x))  # moves theta alone, and keeps large entries exact
    sums = jnp.cumsum(jnp.sort(x, descending=True))
    theta = jnp.max((sums - scale) / jnp.arange(1, x.size + 1, dtype=x.dtype))
    return jnp.maximum(x - theta, 0)


def onto_l1_sphere(x: jax.Array, radius: Any) -> jax.Array:
    """The nearest point with sum |x| = radius in the orthant of x."""
    return _sign(x) * _onto_simplex(tree.absolute(x), radius)


def _refuse_complex(who: str, x: Any) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(x):
        if jnp.iscomplexobj(leaf):
            raise TypeError(f"{who}: {tree.leaf_name('x', path)} must be real to be ordered, got {leaf.dtype}")


def refuse_integers(who: str, x: Any) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(x):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            where = tree.leaf_name("x", path)
            raise TypeError(f"{who}: {where} must be floating or complex, got {jnp.result_type(leaf)}")


def _wide(x: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, tree.arithmetic_dtype(leaf)), x)


def _round_inside(nearest: Callable[..., Any], point: Any, like: Any) -> Any:
    """A point in the dtypes of like; where rounding has thrown it out of the set, each entry goes one float back.

    Only if that brings it nearer: in a set without an inside, such as the simplex, it need not.
    """
    first = tree.cast_like(point, like)
    if all(a.dtype == jnp.result_type(b) for a, b in zip(*map(jax.tree.leaves, (point, like)), strict=True)):
        return first

    def gap(x):
        return jax.tree.map(lambda a, b: a - b, nearest(_wide(x)), _wide(x))

    back = gap(first)
    second = jax.tree.map(_next_float, first, back)
    return tree.select(tree.global_norm(gap(second)) < tree.global_norm(back), second, first)


def _next_float(x: jax.Array, gap: jax.Array) -> jax.Array:
    """The next float of x's dtype in the direction of a gap, in each part; x itself where there is none."""
    if jnp.iscomplexobj(x):
        return jax.lax.complex(_next_float(x.real, gap.real), _next_float(x.imag, gap.imag))
    return jnp.where(gap == 0, x, jnp.nextafter(x, jnp.where(gap > 0, jnp.inf, -jnp.inf).astype(x.dtype)))


def _limit(x: Any) -> Any:
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


def _sign(x: jax.Array) -> jax.Array:
    """x / |x| of each entry; that of an infinite one is its direction."""
    return jnp.sign(_finite(x)) if jnp.iscomplexobj(x) else jnp.sign(x)


def _finite(x: jax.Array) -> jax.Array:
    """A large number in the direction of each infinite entry."""
    return jnp.where(jnp.isinf(x), _limit(x), x)


def excess(who: str, normal: Any, x: Any, offset: Any, name: str = "normal") -> tuple[jax.Array, Any]:
    """How far x is beyond the plane, in units of a normal of length 1, and that normal; 0 for a normal of zeros."""
    tree.check_like(who, name, normal, "x", x)
    size, scale = tree.norm(normal)
    unit = jax.tree.map(lambda a: tree.ratio(a * scale, size), normal)

    def product(a, leaf):
        return jnp.sum(jnp.where(a == 0, 0, jnp.real(jnp.conj(a) * jnp.where(a == 0, 0, leaf))))

    return sum(tree.leafmap(product, unit, x)) - tree.ratio(offset * scale, size), unit


def _along(unit: Any, x: Any, length: jax.Array) -> Any:
    return jax.tree.map(lambda a, leaf: jnp.where(a == 0, leaf, leaf - length * a), unit, x)


def _check_order(lower: Any, upper: Any) -> None:
    if is_concrete(lower) and is_concrete(upper) and not np.all(np.asarray(lower) <= np.asarray(upper)):
        raise ValueError(f"box: lower must be at most upper, got {lower} > {upper}")


def _map_bounds(function: Callable[..., Any], name: str, bound: Any, x: Any) -> Any:
    """function(leaf, its bound) over a tree, the bound a prefix of it; ValueError where they do not fit."""
    try:
        bounds = jax.tree.broadcast(bound, x)
    except ValueError as error:
        raise ValueError(f"box: {name} must be a number, or a tree like x or a prefix of it; {error}") from error

    def apply(path, leaf, b):
        shape = jnp.shape(b)
        ends = zip(reversed(shape), reversed(leaf.shape), strict=False)
        if len(shape) > leaf.ndim or any(size not in (1, of_leaf) for size, of_leaf in ends):
            where = tree.leaf_name(name, path)
            raise ValueError(f"box: {where} must have shape {leaf.shape} or (), got {shape}")
        return function(leaf, b)

    return jax.tree_util.tree_map_with_path(apply, x, bounds)


def apply_to_vector(function: Callable[[jax.Array], jax.Array], x: Any) -> Any:
    """A function of one vector on all leaves together."""
    leaves, structure = jax.tree.flatten(x)
    if not any(leaf.size for leaf in leaves):
        return x
    flat = function(jnp.concatenate([jnp.ravel(leaf) for leaf in leaves]))
    ends = itertools.accumulate((leaf.size for leaf in leaves), operator.add)
    parts = [flat[end - leaf.size : end].reshape(leaf.shape) for leaf, end in zip(leaves, ends, strict=True)]
    return structure.unflatten(parts)


def project_params(who: str, onto: Any, params: Any) -> Any:
    """The nearest point of the set, in the shapes and dtypes of params."""
    if onto is None:
        return params
    nearest = onto(params)
    tree.check_like(who, "onto's answer", nearest, "params", params)
    return tree.cast_like(nearest, params)
