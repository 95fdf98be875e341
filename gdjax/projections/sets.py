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

The numbers are leaves, so a sweep over a radius is a `vmap` and a bound can be learned. Leaves that are None are ignored.
The wrapper `project(inner, onto)` keeps the iterates of an optimizer in a set.

The nearest point is computed in at least float32; in 16 bits it is rounded into the set and not out of it (onto a simplex
or a hyperplane, which contain few 16-bit points, up to rounding). For an infinite entry the nearest point is the limit for
a growing entry: in a ball and the simplex the finite entries become 0; for a hyperplane whose normal is not 0 there, it is
NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.calls import Decorator, Node, decorator, is_concrete, is_factory, is_number, register
from gdjax.projections.nearest import (
    along,
    apply_to_vector,
    excess,
    finite,
    limit,
    onto_l1_sphere,
    onto_simplex,
    refuse_complex,
    refuse_integers,
)


class Set(Node):
    """A closed convex set as a node; a call with a tree returns the nearest tree of the set, in the same dtypes.

    Raises: TypeError for integers, since nearest points are usually not integers.
    """

    def __call__(self, params: Any) -> Any:
        if not jax.tree.leaves(params):
            return params
        refuse_integers(self.recipe.name, params)
        nearest = self.build()
        return _round_inside(nearest, nearest(tree.wide(params)), params)


register(Set)
projection: Decorator[Set] = decorator(
    Set,
    "A factory of sets from a body that returns the function x -> nearest point.",
    """
    >>> @gd.projections.projection
    ... def at_least(lower):
    ...     return lambda x: jax.tree.map(lambda leaf: jnp.maximum(leaf, lower), x)
    >>> print(at_least(1.0), at_least(1.0)(jnp.array([0.0, 2.0])))
    at_least(1) [1. 2.]
    """,
)


@projection
def box(lower: Any = None, upper: Any = None):
    """The box: lower <= x <= upper, entry by entry.

        P(x) = min(max(x, lower), upper)

    Args:
        lower, upper: each a number, an array, a tree of them like x or a prefix of one; None means unbounded.

    Raises: ValueError if a lower number exceeds the upper one, TypeError for complex x.

    >>> print(gd.projections.box(0.0, 1.0)(jnp.array([3.0, -4.0])))
    [1. 0.]
    """
    if is_number(lower) and is_number(upper) and 0 in (np.ndim(lower), np.ndim(upper)):
        _check_order(lower, upper)

    def nearest(x: Any) -> Any:
        refuse_complex("box", x)
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
    """The orthant of numbers that are not negative: x >= 0, entry by entry.

        P(x) = max(x, 0)

    Raises: TypeError for complex x.

    >>> print(gd.projections.non_negative()(jnp.array([3.0, -4.0])))
    [3. 0.]
    """

    def nearest(x: Any) -> Any:
        refuse_complex("non_negative", x)
        return jax.tree.map(lambda leaf: jnp.maximum(leaf, 0), x)

    return nearest


@projection(bounds={"scale": "[0, inf)"})
def simplex(scale=1.0):
    """The simplex: x >= 0 with a given sum; of sum 1 these are the probabilities.

        P(x) = max(x - theta, 0),      theta the largest of (x_1 + ... + x_k - scale) / k over the k largest entries

    Args:
        scale: >= 0, the sum of all entries of all leaves.

    Raises: ValueError outside this range, TypeError for complex x.
    Reference: Held, Wolfe & Crowder 1974; Duchi et al. 2008, figure 1.

    >>> print(gd.projections.simplex()(jnp.array([0.6, 0.8, -1.0])))
    [0.4 0.6 0.]
    """

    def nearest(x: Any) -> Any:
        refuse_complex("simplex", x)
        return apply_to_vector(lambda flat: onto_simplex(flat, scale), x)

    return nearest


@projection(bounds={"radius": "[0, inf)"})
def l1_ball(radius=1.0):
    """The ball sum |x| <= radius: its nearest points are sparse.

        P(x) = sign(x) simplex(radius)(|x|)      outside the ball

    Args:
        radius: >= 0, parameter units; the sum is over all leaves together.

    Raises: ValueError outside this range.
    Reference: Duchi et al. 2008, section 4.

    >>> print(gd.projections.l1_ball(1.0)(jnp.array([0.6, -0.8])))
    [0.4 -0.6]
    """

    def nearest(flat: jax.Array) -> jax.Array:
        return jnp.where(jnp.sum(tree.absolute(flat)) > radius, onto_l1_sphere(flat, radius), flat)

    return lambda x: apply_to_vector(nearest, x)


@projection(bounds={"radius": "[0, inf)"})
def l2_ball(radius=1.0):
    """The ball |x| <= radius in the Euclidean norm of all leaves together.

        P(x) = x min(1, radius / |x|)

    Args:
        radius: >= 0, parameter units.

    Raises: ValueError outside this range.

    >>> print(gd.projections.l2_ball(1.0)(jnp.array([3.0, -4.0])))
    [0.6 -0.8]
    """

    return lambda x: tree.shorten(limit(x), radius)


@projection(bounds={"radius": "[0, inf)"})
def linf_ball(radius=1.0):
    """The cube |x| <= radius, entry by entry.

        P(x) = min(max(x, -radius), radius)      each entry; of a complex one the modulus is shortened

    Args:
        radius: >= 0, parameter units.

    Raises: ValueError outside this range.

    >>> print(gd.projections.linf_ball(1.0)(jnp.array([0.5, -4.0])))
    [0.5 -1.]
    """

    def nearest(leaf: jax.Array) -> jax.Array:
        if jnp.iscomplexobj(leaf):
            return tree.shorten_entries(finite(leaf), radius)
        return jnp.clip(leaf, -radius, radius)

    return lambda x: jax.tree.map(nearest, x)


@projection
def hyperplane(normal: Any, offset=0.0):
    """The hyperplane <normal, x> = offset.

        P(x) = x - normal (<normal, x> - offset) / |normal|²

    Args:
        normal: a tree like x, of any length; one of zeros leaves x as it is.
        offset: a number, in the units of <normal, x>.

    Raises: ValueError, when called, where normal and x are not alike.

    >>> print(gd.projections.hyperplane(jnp.array([1.0, 1.0]), 1.0)(jnp.array([3.0, -4.0])))
    [4. -3.]
    """

    def nearest(x: Any) -> Any:
        beyond, unit = excess("hyperplane", normal, x, offset)
        return along(unit, x, beyond)

    return nearest


@projection
def halfspace(normal: Any, offset=0.0):
    """The half-space <normal, x> <= offset.

        P(x) = x - normal max(<normal, x> - offset, 0) / |normal|²

    Args:
        normal: a tree like x, of any length; one of zeros leaves x as it is.
        offset: a number, in the units of <normal, x>.

    Raises: ValueError, when called, where normal and x are not alike.

    >>> print(gd.projections.halfspace(jnp.array([1.0, 0.0]), 1.0)(jnp.array([3.0, -4.0])))
    [1. -4.]
    """

    def nearest(x: Any) -> Any:
        beyond, unit = excess("halfspace", normal, x, offset)
        return along(unit, x, jnp.maximum(beyond, 0))

    return nearest


@projection
def each_leaf(onto):
    """Every leaf in the set by itself, where the sets take all leaves together as one vector.

    Args:
        onto: a set, or any function array -> array; `each_leaf(l2_ball(3.0))` is a largest norm of each layer's weights.

    >>> print(gd.projections.each_leaf(gd.projections.l2_ball(1.0))({"a": jnp.array([3.0, -4.0]), "b": jnp.array([0.5])}))
    {'a': Array([0.6, -0.8], dtype=float32), 'b': Array([0.5], dtype=float32)}
    """
    return lambda x: jax.tree.map(onto, x)


@projection
def from_function(function):
    """A set given by its projection, any function params -> params.

    Args:
        function: params -> the nearest params of the set, in the same shapes.

    >>> print(gd.projections.from_function(jnp.round)(jnp.array([0.4, 1.6])))
    [0. 2.]
    """
    return function


def as_set(onto: Any) -> Set:
    """A set as it is, and a bare function as one, by `from_function`.

    Args:
        onto: a set, or a function params -> params.

    Raises: TypeError for anything else, such as bounds alone or a factory that has not been called.

    >>> print(gd.projections.as_set(jnp.round)(jnp.array([0.4, 1.6])))
    [0. 2.]
    """
    if isinstance(onto, Set):
        return onto
    if is_factory(onto):
        raise TypeError(f"as_set: call the factory, write {onto.recipe.name}(...), got {onto.recipe.name} alone")
    if not callable(onto):
        words = "one of gdjax.projections, such as box(0, 1), or a function params -> params"
        raise TypeError(f"as_set: a set must be {words}, got {onto!r}")
    return from_function(onto)


PROJECTIONS: dict[str, Callable[..., Set]] = {
    factory.__name__: factory
    for factory in (box, non_negative, simplex, l1_ball, l2_ball, linf_ball, hyperplane, halfspace, each_leaf)
}


def _round_inside(nearest: Callable[..., Any], point: Any, like: Any) -> Any:
    """A point in the dtypes of like; if rounding has moved it out of the set, each entry is moved back by one float.

    This is done only if it brings the point nearer; for a set without interior, such as the simplex, it may not.
    """
    first = tree.cast_like(point, like)
    if all(a.dtype == jnp.result_type(b) for a, b in zip(*map(jax.tree.leaves, (point, like)), strict=True)):
        return first

    def gap(x):
        return jax.tree.map(lambda a, b: a - b, nearest(tree.wide(x)), tree.wide(x))

    back = gap(first)
    second = jax.tree.map(_next_float, first, back)
    return tree.select(tree.global_norm(gap(second)) < tree.global_norm(back), second, first)


def _next_float(x: jax.Array, gap: jax.Array) -> jax.Array:
    """The next float of x's dtype in the direction of a gap, for real and imaginary part; x itself where the gap is 0."""
    if jnp.iscomplexobj(x):
        return jax.lax.complex(_next_float(x.real, gap.real), _next_float(x.imag, gap.imag))
    return jnp.where(gap == 0, x, jnp.nextafter(x, jnp.where(gap > 0, jnp.inf, -jnp.inf).astype(x.dtype)))


def _check_order(lower: Any, upper: Any) -> None:
    if is_concrete(lower) and is_concrete(upper) and not np.all(np.asarray(lower) <= np.asarray(upper)):
        raise ValueError(f"box: lower must be at most upper, got {lower} > {upper}")


def _map_bounds(function: Callable[..., Any], name: str, bound: Any, x: Any) -> Any:
    """function(leaf, its bound) mapped over a tree; the bound is a prefix of it. Raises: ValueError if it does not fit."""
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


def project_params(who: str, onto: Any, params: Any) -> Any:
    """The nearest point of the set, in the shapes and dtypes of params."""
    if onto is None:
        return params
    nearest = onto(params)
    tree.check_like(who, "onto's answer", nearest, "params", params)
    return tree.cast_like(nearest, params)
