"""The nearest orthogonal matrix by products alone: an odd polynomial, repeated, drives all singular values to about 1.

X <- a X + (b X X^H + c (X X^H)²) X          a singular value s becomes a s + b s³ + c s⁵
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # steep at 0: five repetitions bring [0.01, 1] into about [0.7, 1.2]


def newton_schulz(x: jax.Array, coefficients: Any = COEFFICIENTS, steps: int = 5, eps: Any = 1e-8) -> jax.Array:
    """U V^H of the matrix x = U S V^H, roughly; 0 for x = 0. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/."""
    a, b, c = coefficients
    is_tall = x.shape[0] > x.shape[1]
    x = x / (tree.global_norm(x) + eps)
    x = x.T if is_tall else x
    for _ in range(steps):
        square = x @ jnp.conj(x.T)
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if is_tall else x
