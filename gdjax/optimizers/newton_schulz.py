"""The nearest orthogonal matrix by products alone: an iterated odd polynomial brings all singular values to about 1.

X <- a X + (b X X^H + c (X X^H)²) X          a singular value s becomes a s + b s³ + c s⁵
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # steep at 0: five repetitions bring [0.01, 1] into about [0.7, 1.2]
LEAST = 1e-8  # of the squared norms that divide in "aol" and "schatten"
PRECONDITIONINGS = ("frobenius", "spectral", "aol", "schatten")


def newton_schulz(
    x: jax.Array,
    coefficients: Any = COEFFICIENTS,
    steps: int = 5,
    eps: Any = 1e-8,
    preconditioning: str = "frobenius",
) -> jax.Array:
    """An approximation of U V^H for the matrix x = U S V^H; 0 for x = 0.

    Args:
        coefficients: (a, b, c), or one such row for each step (of more rows the last ones count).
        preconditioning: how x is first brought below norm 1: divided by its Frobenius or its spectral norm, or inside the
            first step by the sums of the rows of |X X^H| ("aol") or by the root of |X X^H| ("schatten").

    Reference: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/.
    """
    rows = jnp.asarray(coefficients, jnp.finfo(x.dtype).dtype)
    rows = jnp.broadcast_to(rows, (steps, 3)) if rows.ndim == 1 else rows[-steps:]
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x
    size, scale = tree.norm(x)
    if preconditioning == "spectral":
        size = jnp.linalg.norm(x * scale, ord=2)
    if preconditioning in ("frobenius", "spectral"):
        x = tree.ratio(x * scale, size + eps * scale)
    else:
        scale = jnp.minimum(scale, 1)  # of what is tiny the least divisor decides
        x, least = x * scale, LEAST * scale * scale
    for i in range(steps):
        a, b, c = rows[i, 0], rows[i, 1], rows[i, 2]
        square = x @ jnp.conj(x.T)
        if i == 0 and preconditioning in ("aol", "schatten"):
            x, square = _shrunk(x, square, preconditioning, least)
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if is_tall else x


def _shrunk(x: jax.Array, square: jax.Array, preconditioning: str, least: Any) -> tuple[jax.Array, jax.Array]:
    """x and its square, divided so that all singular values are at most 1."""
    if preconditioning == "schatten":
        scale = jax.lax.rsqrt(jnp.maximum(tree.global_norm(square), least))
        return scale * x, scale**2 * square
    scale = jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.abs(square), axis=-1), least))[:, None]
    return scale * x, scale * square * scale.T
