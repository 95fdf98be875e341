"""The oracle of `gdjax.optimizers.first_order.shampoo`: every axis written out with einsum-like moves of NumPy."""

from __future__ import annotations

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import at, per_leaf
from gdjax.certify.oracles.masks import matrices


def apply(matrix: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(np.tensordot(matrix, x, axes=(1, axis)), 0, axis)


def unfold(x: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)


def _symmetric_power(matrix, power):
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, len(values) * np.finfo(float).eps * values.max())
    return vectors @ np.diag(values**power) @ vectors.conj().T


@per_leaf
def shampoo(p, learning_rate, momentum, eps, update_interval, max_dim, weight_decay, mask):
    shape, p = p.shape, np.atleast_1d(p)
    axes = [i for i in range(p.ndim) if p.size and p.shape[i] <= max_dim]
    sums = {i: eps * np.eye(p.shape[i]) for i in axes}
    roots, mu, u = {}, np.zeros_like(p), None
    for t in itertools.count(1):
        g, p, _ = yield u
        d = g = np.atleast_1d(g)
        for i in axes:
            slices = unfold(g, i)
            sums[i] = sums[i] + slices @ slices.conj().T
            if (t - 1) % update_interval == 0:
                finite = np.isfinite(sums[i]).all()
                roots[i] = _symmetric_power(sums[i], -0.5 / len(axes)) if finite else np.full_like(sums[i], np.nan)
            d = apply(roots[i], d, i)
        mu = momentum * mu + d
        u = -at(learning_rate, t) * (mu.reshape(shape) + (at(weight_decay, t) * p if mask else 0))


EXAMPLES = {
    "shampoo": lambda: [
        o.shampoo(0.01, update_interval=10),
        o.shampoo(0.01, momentum=0.5, eps=1e-2, update_interval=50, max_dim=30, weight_decay=0.1, mask=matrices),
    ],
}

LIMITS = {
    "shampoo(": (
        1e-4,
        "roots of matrices of condition 1e12 keep as many digits less: 7e-12 with one eigensolver, 9e-6 with another "
        "(that of jaxlib 0.11)",
    ),
}

LEFT_OUT = {
    "shampoo": (("huge",), "directions that the gradient never had are rounding, and eps is nothing beside it"),
}
