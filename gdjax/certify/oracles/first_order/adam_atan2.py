"""The oracle of `gdjax.optimizers.first_order.adam_atan2`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.masks import matrices


@per_leaf
def adam_atan2(p, learning_rate, b1, b2, a, b, weight_decay, mask):
    m, v, u = 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * abs_sq(g)
        m_hat, root = m / (1 - b1**t), np.sqrt(v / (1 - b2**t))
        direction = a * np.arctan2(np.abs(m_hat), b * root) * np.sign(m_hat)
        u = -at(learning_rate, t) * (direction + (at(weight_decay, t) * p if mask else 0))


EXAMPLES = {
    "adam_atan2": lambda: [o.adam_atan2(0.01), o.adam_atan2(0.01, a=1.0, b=2.0, weight_decay=0.1, mask=matrices)],
}
