"""Parameters as one real vector, for methods whose inner products are taken over all leaves together.

A complex leaf contributes its real parts, then its imaginary parts. The dot product of two such vectors is then real(vdot)
of the trees, so that methods for real vectors also work for complex parameters.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree

SMALL = 1 << 14  # entries; up to this length the version that compiles faster runs as fast


def flat_dtype(params: Any) -> jnp.dtype:
    """The real dtype, at least float32, of the vectors and scalars that are computed from these parameters."""
    return jnp.finfo(tree.arithmetic_dtype(*jax.tree.leaves(params))).dtype


def ravel(params: Any, dtype: Any) -> jax.Array:
    """All leaves as one vector (n,) of a real dtype."""
    parts = [jnp.zeros(0, dtype)]
    for leaf in jax.tree.leaves(params):
        leaf = jnp.asarray(leaf)
        parts += [jnp.ravel(x) for x in ((leaf.real, leaf.imag) if jnp.iscomplexobj(leaf) else (leaf,))]
    return jnp.concatenate([part.astype(dtype) for part in parts])


def unravel(vector: jax.Array, like: Any) -> Any:
    """The inverse of `ravel`: a tree with the shapes and dtypes of another."""
    start = 0

    def take(shape):
        nonlocal start
        start += math.prod(shape)
        return vector[start - math.prod(shape) : start].reshape(shape)

    def take_leaf(leaf):
        shape, dtype = jnp.shape(leaf), jnp.result_type(leaf)
        x = jax.lax.complex(take(shape), take(shape)) if jnp.issubdtype(dtype, jnp.complexfloating) else take(shape)
        return x.astype(dtype)

    return jax.tree.map(take_leaf, like)


def dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """a @ b in full precision, also if the device's default precision is lower."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


# XLA:CPU takes 20 to 30 ms to compile a product of a vector and a matrix; a product of two matrices is a library call.


def products(rows: jax.Array, *vectors: jax.Array) -> jax.Array:
    """rows (m, n) times each of several vectors (n,), together (vectors, m)."""
    if rows.shape[1] > SMALL:
        return jnp.stack([dot(rows, vector) for vector in vectors])
    return dot(rows, jnp.stack(vectors, axis=1)).T


def combination(weights: jax.Array, rows: jax.Array) -> jax.Array:
    """weights (m,) @ rows (m, n), computed twice so that it is a product of matrices."""
    return dot(jnp.stack([weights, weights]), rows)[0]
