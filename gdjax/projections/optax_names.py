"""Projections by the names of Optax: functions of a tree, over the sets of gdjax where there is one.

What a set promises holds here too: bounds are checked, nothing overflows half way, 16 bits are rounded into the set.
Differs from: Optax, in which integers are projected to what is no nearest point, lower may exceed upper, and the norm of a
finite tree may be inf or 0. Spheres are no convex sets, and have no node of their own.
"""

from __future__ import annotations

from typing import Any

import jax

from gdjax import tree as trees
from gdjax.calls import check_interval
from gdjax.projections import sets


def projection_box(tree: Any, lower: Any, upper: Any) -> Any:
    """The nearest tree with lower <= x <= upper: `box(lower, upper)(tree)`; each a number, or a tree like x or a prefix."""
    return sets.box(lower, upper)(tree)


def projection_hypercube(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree with 0 <= x <= scale: `box(0, scale)(tree)`."""
    return sets.box(0, scale)(tree)


def projection_non_negative(tree: Any) -> Any:
    """The nearest tree with x >= 0: `non_negative()(tree)`."""
    return sets.non_negative()(tree)


def projection_simplex(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree with x >= 0 and sum scale, all leaves together: `simplex(scale)(tree)`."""
    return sets.simplex(scale)(tree)


def projection_l1_ball(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree with sum |x| <= scale, all leaves together: `l1_ball(scale)(tree)`."""
    return sets.l1_ball(scale)(tree)


def projection_l2_ball(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree with |x| <= scale, the Euclidean norm of all leaves together: `l2_ball(scale)(tree)`."""
    return sets.l2_ball(scale)(tree)


def projection_linf_ball(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree with |x| <= scale, entry by entry: `linf_ball(scale)(tree)`."""
    return sets.linf_ball(scale)(tree)


def projection_hyperplane(x: Any, a: Any, b: Any) -> Any:
    """The nearest tree with <a, x> = b, a a tree like x: `hyperplane(a, b)(x)`."""
    return sets.hyperplane(a, b)(x)


def projection_halfspace(x: Any, a: Any, b: Any) -> Any:
    """The nearest tree with <a, x> <= b, a a tree like x: `halfspace(a, b)(x)`."""
    return sets.halfspace(a, b)(x)


def projection_l1_sphere(tree: Any, scale: Any = 1) -> Any:
    """A nearest tree with sum |x| = scale, all leaves together; entries of 0 stay 0, so that of zeros there is none.

    Args:
        scale: >= 0.
    """
    check_interval("projection_l1_sphere", "scale", scale, "[0, inf)")
    sets.refuse_integers("projection_l1_sphere", tree)
    return sets.from_function(lambda x: sets.apply_to_vector(lambda flat: sets.onto_l1_sphere(flat, scale), x))(tree)


def projection_l2_sphere(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree with |x| = scale, all leaves together; NaN for zeros, from which all of the sphere is as near.

    Args:
        scale: >= 0.
    """
    check_interval("projection_l2_sphere", "scale", scale, "[0, inf)")
    sets.refuse_integers("projection_l2_sphere", tree)

    def nearest(x: Any) -> Any:
        size, shrunk = trees.norm(x)
        return jax.tree.map(lambda leaf: leaf * shrunk / size * scale, x)

    return sets.from_function(nearest)(tree)


def projection_vector(x: Any, a: Any) -> Any:
    """The nearest multiple of a tree a, a <a, x> / |a|²; 0 for an a of zeros.

    Raises: ValueError where x and a are not alike.
    """
    sets.refuse_integers("projection_vector", x)

    def nearest(x: Any) -> Any:
        beyond, unit = sets.excess("projection_vector", a, x, 0, "a")
        return jax.tree.map(lambda leaf: beyond * leaf, unit)

    return sets.from_function(nearest)(x)
