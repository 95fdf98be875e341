"""Planes in the space of parameters, over which a loss of many parameters can be drawn.

    plane = random_plane(params, key)            plane((a, b)) = params + a u + b v

`plots.loss_surface(loss, plane)` draws the loss over it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.calls import is_concrete
from gdjax.types import Params
from gdjax.vector import flat_dtype, ravel, unravel


class Plane(NamedTuple):
    """A center and two directions, all of the structure of the parameters."""

    center: Params
    u: Params
    v: Params

    def __call__(self, at: Any) -> Params:
        """center + a u + b v, at = (a, b)."""
        return jax.tree.map(lambda c, u, v: c + at[0] * u + at[1] * v, *self)

    def coordinates(self, params: Params) -> jax.Array:
        """(2,): the point of the plane nearest to params; (n, 2) for a path with n rows in each leaf."""
        dtype = flat_dtype(self.center)
        basis = jnp.stack([ravel(self.u, dtype), ravel(self.v, dtype)], axis=1)
        flat = lambda params: ravel(params, dtype) - ravel(self.center, dtype)  # noqa: E731
        is_path = jnp.ndim(jax.tree.leaves(params)[0]) > jnp.ndim(jax.tree.leaves(self.center)[0])
        gaps = jax.vmap(flat)(params).T if is_path else flat(params)
        return jnp.linalg.lstsq(basis, gaps)[0].T


def plane_through(center: Params, first: Params, second: Params) -> Plane:
    """The plane through three points: (1, 0) is `first`, (0, 1) is `second`.

        plane((a, b)) = center + a (first - center) + b (second - center)

    Args:
        center, first, second: parameters of one structure.

    Raises: ValueError where they are not alike.

    >>> plane = gd.plane_through(jnp.zeros(2), jnp.array([1.0, 0.0]), jnp.array([0.0, 2.0]))
    >>> print(plane((0.5, 0.5)), plane.coordinates(jnp.array([1.0, 1.0])))
    [0.5 1.] [1. 0.5]
    """
    for name, point in (("first", first), ("second", second)):
        tree.check_like("plane_through", name, point, "center", center)
    return Plane(center, *(jax.tree.map(lambda p, c: p - c, point, center) for point in (first, second)))


def random_plane(params: Params, key: jax.Array | int = 0) -> Plane:
    """Two random directions, the weights of each unit scaled to the norm that they have in params.

    Vectors and scalars have direction 0. Without the scaling the length of a direction means little: a relu network
    computes the same function after its layers are scaled against each other. Units are counted by the last axis.

    Args:
        params: the center of the plane, any pytree of floating arrays.
        key: a JAX key or an integer seed.

    Raises: ValueError if every matrix is zero or there is none, since both directions would be 0.
    Reference: Li et al. 2018, "Visualizing the Loss Landscape of Neural Nets", section 4, arXiv:1712.09913.

    >>> plane = gd.random_plane(jnp.array([[3.0], [4.0]]))
    >>> print(jnp.linalg.norm(plane.u), jnp.linalg.norm(plane.v))
    5.0 5.0
    """
    matrices = [leaf for leaf in jax.tree.leaves(params) if jnp.ndim(leaf) >= 2]
    if all(is_concrete(leaf) and not np.any(leaf) for leaf in matrices):
        raise ValueError(
            "random_plane: params must have a leaf of two axes or more that is not zero, since vectors and scalars stay; "
            f"plane_through takes any parameters, got shapes {', '.join(str(jnp.shape(x)) for x in jax.tree.leaves(params))}"
        )
    keys = jax.random.split(jax.random.key(key) if isinstance(key, int) else key)
    return Plane(params, *(_like_filters(params, k) for k in keys))


def _like_filters(params: Params, key: jax.Array) -> Params:
    leaves, structure = jax.tree.flatten(params)

    def direction(leaf, key):
        if leaf.ndim < 2:
            return jnp.zeros_like(leaf)
        drawn, axes = jax.random.normal(key, leaf.shape, leaf.dtype), tuple(range(leaf.ndim - 1))
        norm = lambda x: jnp.sqrt(jnp.sum(x * x, axis=axes, keepdims=True))  # noqa: E731
        return drawn * norm(leaf) / jnp.maximum(norm(drawn), jnp.finfo(leaf.dtype).tiny)

    leaves = [jnp.asarray(leaf) for leaf in leaves]
    return structure.unflatten(
        [direction(leaf, k) for leaf, k in zip(leaves, jax.random.split(key, len(leaves)), strict=True)]
    )


def pca_plane(path: Params) -> Plane:
    """The plane through the last point of a path, (n, ...) each leaf with n >= 3, along which the path varies most.

    The directions are the first two principal components of the path relative to its last point, of unit length.

    Args:
        path: parameters with a leading axis of n points in each leaf, such as `found.path.params` of `minimize`.

    >>> plane = gd.pca_plane(jnp.array([[4.0, 0.0], [2.0, 1.0], [0.0, 0.0]]))
    >>> print(plane((0.0, 0.0)), jnp.linalg.norm(plane.u))
    [0. 0.] 1.0
    """
    last = jax.tree.map(lambda x: x[-1], path)
    dtype = flat_dtype(last)
    gaps = jax.vmap(lambda params: ravel(params, dtype))(path) - ravel(last, dtype)
    if gaps.shape[0] < 3 or gaps.shape[1] < 2:
        raise ValueError(f"pca_plane: path must have at least 3 rows of at least 2 parameters, got {gaps.shape}")
    components = jnp.linalg.svd(gaps, full_matrices=False)[2]
    return Plane(last, unravel(components[0], last), unravel(components[1], last))
