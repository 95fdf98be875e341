"""The oracle of `gdjax.optimizers.first_order.adan`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.masks import matrices


@per_leaf
def adan(p, learning_rate, b1, b2, b3, eps, eps_root, weight_decay, mask):
    m, v, n, before, u = 0, 0, 0, None, None
    for t in itertools.count(1):
        g, p, _ = yield u
        difference = 0 if before is None else g - before
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * difference
        n = b3 * n + (1 - b3) * abs_sq(g + (1 - b2) * difference)
        scale = np.sqrt(n / (1 - b3**t) + eps_root) + eps
        direction = (m / (1 - b1**t) + (1 - b2) * v / (1 - b2**t)) / scale
        u = -at(learning_rate, t) * (direction + (at(weight_decay, t) * p if mask else 0))
        before = g


EXAMPLES = {
    "adan": lambda: [o.adan(0.01), o.adan(0.01, b1=0.9, weight_decay=0.1, mask=matrices)],
}
