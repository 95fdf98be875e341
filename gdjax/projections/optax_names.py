"""Projections under the names of Optax: functions of a tree, which use the sets of gdjax.

As for the sets, bounds are checked, intermediate results do not overflow, and 16-bit results are rounded into the set.
Differs from: Optax, in which integers are projected to points that are not nearest, lower may exceed upper, and the norm of
a finite tree may be inf or 0. Spheres are not convex, and are functions only.
"""

from __future__ import annotations

from typing import Any

import jax

from gdjax import tree as trees
from gdjax.calls import check_interval
from gdjax.projections import nearest, sets


def projection_box(tree: Any, lower: Any, upper: Any) -> Any:
    """The nearest tree with lower <= x <= upper: `box(lower, upper)(tree)`; each a number, or a tree like x or a prefix.

    Args:
        tree: a tree of floating leaves.
        lower, upper: each a number, a tree like `tree`, or a prefix of one; None means unbounded.

    >>> print(gd.projections.projection_box(jnp.array([3.0, -4.0]), 0.0, 1.0))
    [1. 0.]
    """
    return sets.box(lower, upper)(tree)


def projection_hypercube(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree with 0 <= x <= scale: `box(0, scale)(tree)`.

    Args:
        tree: a tree of floating leaves.
        scale: >= 0.

    >>> print(gd.projections.projection_hypercube(jnp.array([3.0, -4.0])))
    [1. 0.]
    """
    return sets.box(0, scale)(tree)


def projection_non_negative(tree: Any) -> Any:
    """The nearest tree with x >= 0: `non_negative()(tree)`.

    Args:
        tree: a tree of floating leaves.

    >>> print(gd.projections.projection_non_negative(jnp.array([3.0, -4.0])))
    [3. 0.]
    """
    return sets.non_negative()(tree)


def projection_simplex(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree with x >= 0 and sum scale, all leaves together: `simplex(scale)(tree)`.

    Args:
        tree: a tree of floating leaves.
        scale: >= 0, the sum of all entries.

    >>> print(gd.projections.projection_simplex(jnp.array([0.6, 0.8, -1.0])))
    [0.4 0.6 0.]
    """
    return sets.simplex(scale)(tree)


def projection_l1_ball(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree with sum |x| <= scale, all leaves together: `l1_ball(scale)(tree)`.

    Args:
        tree: a tree of floating or complex leaves.
        scale: >= 0, the radius.

    >>> print(gd.projections.projection_l1_ball(jnp.array([0.6, -0.8])))
    [0.4 -0.6]
    """
    return sets.l1_ball(scale)(tree)


def projection_l2_ball(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree with |x| <= scale, the Euclidean norm of all leaves together: `l2_ball(scale)(tree)`.

    Args:
        tree: a tree of floating or complex leaves.
        scale: >= 0, the radius.

    >>> print(gd.projections.projection_l2_ball(jnp.array([3.0, -4.0])))
    [0.6 -0.8]
    """
    return sets.l2_ball(scale)(tree)


def projection_linf_ball(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree with |x| <= scale, entry by entry: `linf_ball(scale)(tree)`.

    Args:
        tree: a tree of floating or complex leaves.
        scale: >= 0, the radius.

    >>> print(gd.projections.projection_linf_ball(jnp.array([0.5, -4.0])))
    [0.5 -1.]
    """
    return sets.linf_ball(scale)(tree)


def projection_hyperplane(x: Any, a: Any, b: Any) -> Any:
    """The nearest tree with <a, x> = b, a a tree like x: `hyperplane(a, b)(x)`.

    Args:
        x: a tree of floating or complex leaves.
        a: a tree like x, the normal.
        b: a number, the offset.

    >>> print(gd.projections.projection_hyperplane(jnp.array([3.0, -4.0]), jnp.array([1.0, 1.0]), 1.0))
    [4. -3.]
    """
    return sets.hyperplane(a, b)(x)


def projection_halfspace(x: Any, a: Any, b: Any) -> Any:
    """The nearest tree with <a, x> <= b, a a tree like x: `halfspace(a, b)(x)`.

    Args:
        x: a tree of floating or complex leaves.
        a: a tree like x, the normal.
        b: a number, the offset.

    >>> print(gd.projections.projection_halfspace(jnp.array([3.0, -4.0]), jnp.array([1.0, 0.0]), 1.0))
    [1. -4.]
    """
    return sets.halfspace(a, b)(x)


def projection_l1_sphere(tree: Any, scale: Any = 1) -> Any:
    """A nearest tree with sum |x| = scale, all leaves together; entries of 0 stay 0, so that of zeros there is none.

    Args:
        tree: floating or complex leaves.
        scale: >= 0.

    Raises: ValueError outside this range, TypeError for integers.

    >>> print(gd.projections.projection_l1_sphere(jnp.array([0.2, -0.4])))
    [0.4 -0.6]
    """
    check_interval("projection_l1_sphere", "scale", scale, "[0, inf)")
    nearest.refuse_integers("projection_l1_sphere", tree)
    return sets.from_function(lambda x: nearest.apply_to_vector(lambda flat: nearest.onto_l1_sphere(flat, scale), x))(
        tree
    )


def projection_l2_sphere(tree: Any, scale: Any = 1) -> Any:
    """A nearest tree with |x| = scale, all leaves together; NaN for zeros, from which all of the sphere is as near.

    Args:
        tree: floating or complex leaves.
        scale: >= 0.

    Raises: ValueError outside this range, TypeError for integers.

    >>> print(gd.projections.projection_l2_sphere(jnp.array([3.0, -4.0]), 10.0))
    [6. -8.]
    """
    check_interval("projection_l2_sphere", "scale", scale, "[0, inf)")
    nearest.refuse_integers("projection_l2_sphere", tree)

    def nearest_to(x: Any) -> Any:
        size, shrunk = trees.norm(x)
        return jax.tree.map(lambda leaf: leaf * shrunk / size * scale, x)

    return sets.from_function(nearest_to)(tree)


def projection_vector(x: Any, a: Any) -> Any:
    """The nearest multiple of a tree a, a <a, x> / |a|²; 0 for an a of zeros.

    Args:
        x: a tree of floating or complex leaves.
        a: a tree like x.

    Raises: ValueError where x and a are not alike.

    >>> print(gd.projections.projection_vector(jnp.array([3.0, -4.0]), jnp.array([2.0, 0.0])))
    [3. 0.]
    """
    nearest.refuse_integers("projection_vector", x)

    def nearest_to(x: Any) -> Any:
        beyond, unit = nearest.excess("projection_vector", a, x, 0, "a")
        return jax.tree.map(lambda leaf: beyond * leaf, unit)

    return sets.from_function(nearest_to)(x)
