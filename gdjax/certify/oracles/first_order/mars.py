"""The oracle of `gdjax.optimizers.first_order.mars`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.masks import matrices


@per_leaf
def mars(p, learning_rate, b1, b2, eps, gamma, max_norm, weight_decay, mask):
    m, v, before, u = 0, 0, None, None
    for t in itertools.count(1):
        g, p, _ = yield u
        c = g if before is None else g + gamma * (b1 / (1 - b1)) * (g - before)
        norm = np.linalg.norm(np.ravel(c))
        c = c * (max_norm / norm) if norm > max_norm else c
        m, v = b1 * m + (1 - b1) * c, b2 * v + (1 - b2) * abs_sq(c)
        direction = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)
        u = -at(learning_rate, t) * (direction + (at(weight_decay, t) * p if mask else 0))
        before = g


EXAMPLES = {
    "mars": lambda: [o.mars(0.01), o.mars(0.01, gamma=0.5, max_norm=0.5, weight_decay=0.1, mask=matrices)],
}
