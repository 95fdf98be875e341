"""The oracle of `gdjax.optimizers.first_order.novograd`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


@per_leaf
def novograd(p, learning_rate, b1, b2, eps, eps_root, weight_decay):
    m, v, u = 0, None, None
    for t in itertools.count(1):
        g, p, _ = yield u
        squared = np.sum(abs_sq(g))
        v = squared if v is None else b2 * v + (1 - b2) * squared
        m = b1 * m + g / (np.sqrt(v + eps_root) + eps) + at(weight_decay, t) * p
        u = -at(learning_rate, t) * m


EXAMPLES = {
    "novograd": lambda: [o.novograd(0.01), o.novograd(schedules.cosine(0.01, 1000), eps_root=1e-6, weight_decay=0.1)],
}
