"""Oracles of `gdjax.optimizers.first_order.sparse_adam`, for gradients that are arrays: row by row, in a plain loop."""

import itertools

import numpy as np

from gdjax.certify.oracles.lift import at, per_leaf


@per_leaf
def sparse_adagrad(p, learning_rate, initial_accumulator_value, eps):
    total, u = np.full(p.shape, initial_accumulator_value, float), None
    for t in itertools.count(1):
        g, p, _ = yield u
        u = np.zeros_like(g)
        for row in np.argwhere(_touched(g)):
            row = tuple(row)
            total[row] += np.abs(g[row]) ** 2
            u[row] = -at(learning_rate, t) * np.where(g[row] == 0, 0, g[row] / np.sqrt(total[row] + eps))


@per_leaf
def sparse_adam(p, learning_rate, b1, b2, eps):
    mu, nu, u = np.zeros_like(p), np.zeros(p.shape), None
    for t in itertools.count(1):
        g, p, _ = yield u
        u, c1, c2 = np.zeros_like(g), at(b1, t), at(b2, t)
        for row in np.argwhere(_touched(g)):
            row = tuple(row)
            mu[row] += (1 - c1) * (g[row] - mu[row])
            nu[row] += (1 - c2) * (g[row].real ** 2 + g[row].imag ** 2 - nu[row])
            size = np.sqrt(nu[row] / (1 - c2**t)) + at(eps, t)
            u[row] = -at(learning_rate, t) * mu[row] / (1 - c1**t) / size


def _touched(g):
    """Which entries of the leading axis are not zero throughout; () for a scalar."""
    return np.array(g != 0).any(axis=tuple(range(1, g.ndim)))
