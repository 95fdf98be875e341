"""The gradient of each matrix, orthogonalized."""

from __future__ import annotations

from typing import Any

import jax

from gdjax.calls import optimizer
from gdjax.optimizers.newton_schulz import COEFFICIENTS, newton_schulz
from gdjax.optimizers.transforms.each_leaf import each_leaf
from gdjax.types import ArrayLike


@optimizer(static=("ns_steps",), bounds={"eps": "(0, inf)"}, ints=("ns_steps",), constant=("ns_steps", "eps"))
def orthogonalize(ns_coeffs: tuple[Any, ...] = COEFFICIENTS, ns_steps: int = 5, eps: ArrayLike = 1e-8):
    """Make the gradient of each matrix orthogonal, all its singular values about 1.

        g = U S V^T,      g <- U V^T            by ns_steps of X <- a X + (b X X^T + c (X X^T)²) X from g / (|g| + eps)

    Leaves of more than two axes are matrices (all but the last, the last); vectors and scalars are left as they are.

    Args:
        ns_coeffs: (a, b, c) of the iteration.
        ns_steps: how often it is done.
        eps: > 0, gradient units; keeps a zero gradient zero.

    Memory: 0 x params.
    Differs from: `muon`, which makes the average of the gradients orthogonal, not each of them.
    Reference: Tuddenham, Prügel-Bennett & Hare 2022, arXiv:2202.07052 (there by singular value decomposition).

    >>> opt, x, g = gd.orthogonalize(), jnp.ones((2, 2)), jnp.array([[3.0, 0.0], [0.0, 4.0]])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [[0.72288 0.]
     [0. 1.1192]]
    """

    def orthogonal(g: jax.Array, p: Any) -> jax.Array:
        if g.ndim < 2 or g.size == 0:
            return g
        return newton_schulz(g.reshape(-1, g.shape[-1]), ns_coeffs, ns_steps, eps).reshape(g.shape)

    return each_leaf(orthogonal)
