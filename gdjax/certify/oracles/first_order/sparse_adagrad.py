"""The oracle of `gdjax.optimizers.first_order.sparse_adagrad`."""

from __future__ import annotations

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import at, per_leaf


@per_leaf
def sparse_adagrad(p, learning_rate, initial_accumulator_value, eps):
    total, u = np.full(p.shape, initial_accumulator_value, float), None
    for t in itertools.count(1):
        g, p, _ = yield u
        u = np.zeros_like(g)
        for row in np.argwhere(nonzero_rows(g)):
            row = tuple(row)
            total[row] += np.abs(g[row]) ** 2
            u[row] = -at(learning_rate, t) * np.where(g[row] == 0, 0, g[row] / np.sqrt(total[row] + eps))


def nonzero_rows(g: np.ndarray) -> np.ndarray:
    """Which entries of the leading axis are not zero throughout; () for a scalar."""
    return np.array(g != 0).any(axis=tuple(range(1, g.ndim)))


EXAMPLES = {
    "sparse_adagrad": lambda: [o.sparse_adagrad(0.01), o.sparse_adagrad(0.01, initial_accumulator_value=0.0, eps=1e-5)],
}
