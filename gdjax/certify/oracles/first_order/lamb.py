"""The oracle of `gdjax.optimizers.first_order.lamb`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.first_order.lars import trust_ratio
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.masks import matrices


@per_leaf
def lamb(p, learning_rate, b1, b2, eps, eps_root, weight_decay, mask):
    m, v, u = 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * abs_sq(g)
        d = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)
        d = d + (at(weight_decay, t) * p if mask else 0)
        u = -at(learning_rate, t) * trust_ratio(d, p) * d


EXAMPLES = {
    "lamb": lambda: [
        o.lamb(0.01),
        o.lamb(schedules.cosine(0.01, 1000), eps_root=1e-6, weight_decay=0.1, mask=matrices),
    ],
}
