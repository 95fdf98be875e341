"""The oracle of `gdjax.optimizers.first_order.galore`."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from optax.contrib import GaLoreDimensionNumbers

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import Path, abs_sq, at
from gdjax.certify.oracles.masks import matrices
from gdjax.certify.oracles.reasons import NO_COMPLEX


def galore(
    params: list[np.ndarray],
    learning_rate: Any,
    rank: int,
    update_proj_gap: int,
    scale: Any,
    base_optimizer: Any,
    weight_decay: Any,
    mask: Any,
    weight_dimension_numbers: Any,
) -> Path:
    """With Adam as the base. The singular vectors are XLA's, in single precision: their signs are part of the path."""
    mu: list = [0] * len(params)
    nu: list = [0] * len(params)
    updates = None
    projectors: list = [None] * len(params)
    for t in itertools.count(1):
        grads, params, _ = yield updates
        updates = []
        for i, (g, p) in enumerate(zip(grads, params, strict=True)):
            is_matrix, tall = p.ndim == 2 and p.size > 0, p.ndim == 2 and p.shape[0] >= p.shape[1]
            if is_matrix and (t - 1) % update_proj_gap == 0:
                single = g.astype(np.complex64 if np.iscomplexobj(g) else np.float32)
                left, _, right = map(np.asarray, jnp.linalg.svd(single, full_matrices=False))
                projectors[i] = (left[:, :rank] if tall else right[:rank].conj().T).astype(p.dtype)
            P, small = projectors[i], g
            if is_matrix:
                small = P.conj().T @ g if tall else g @ P
            mu[i], nu[i] = 0.9 * mu[i] + 0.1 * small, 0.999 * nu[i] + (1 - 0.999) * abs_sq(small)
            d = mu[i] / (1 - 0.9**t) / (np.sqrt(nu[i] / (1 - 0.999**t)) + 1e-8)
            if is_matrix:
                d = P @ d if tall else d @ P.conj().T
                d = scale * d
            updates.append(-at(learning_rate, t) * (d + (at(weight_decay, t) * p if mask[i] else 0)))


def galore_matrices(params: Any) -> Any:
    return jax.tree.map(lambda p: GaLoreDimensionNumbers() if p.ndim == 2 and p.size else None, params)


EXAMPLES = {
    "galore": lambda: [
        o.galore(0.01, rank=2, update_proj_gap=10, weight_dimension_numbers=galore_matrices),
        o.galore(
            schedules.cosine(0.01, 1000),
            rank=3,
            scale=0.5,
            weight_decay=0.1,
            mask=matrices,
            weight_dimension_numbers=galore_matrices,
        ),
    ],
}

PARTS_FROM_OPTAX = {
    ("galore(", "complex128"): NO_COMPLEX,
}
