"""The oracle of `gdjax.optimizers.first_order.sparse_adam`, for gradients that are arrays: row by row, in a plain loop."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.first_order.sparse_adagrad import nonzero_rows
from gdjax.certify.oracles.lift import at, per_leaf


@per_leaf
def sparse_adam(p, learning_rate, b1, b2, eps):
    mu, nu, u = np.zeros_like(p), np.zeros(p.shape), None
    for t in itertools.count(1):
        g, p, _ = yield u
        u, c1, c2 = np.zeros_like(g), at(b1, t), at(b2, t)
        for row in np.argwhere(nonzero_rows(g)):
            row = tuple(row)
            mu[row] += (1 - c1) * (g[row] - mu[row])
            nu[row] += (1 - c2) * (g[row].real ** 2 + g[row].imag ** 2 - nu[row])
            size = np.sqrt(nu[row] / (1 - c2**t)) + at(eps, t)
            u[row] = -at(learning_rate, t) * mu[row] / (1 - c1**t) / size


EXAMPLES = {
    "sparse_adam": lambda: [o.sparse_adam(0.01), o.sparse_adam(schedules.cosine(0.01, 1000), b1=0.8, eps=1e-4)],
}
