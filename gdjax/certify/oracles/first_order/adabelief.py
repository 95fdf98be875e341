"""The oracle of `gdjax.optimizers.first_order.adabelief`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


@per_leaf
def adabelief(p, learning_rate, b1, b2, eps, eps_root, nesterov):
    m, s, u = 0, 0, None
    for t in itertools.count(1):
        g, _, _ = yield u
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * abs_sq(g - m) + eps_root
        m_hat = m / (1 - b1**t)
        if nesterov:
            m_hat = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        u = -at(learning_rate, t) * m_hat / (np.sqrt(s / (1 - b2**t)) + eps)


EXAMPLES = {
    "adabelief": lambda: [o.adabelief(0.01), o.adabelief(0.01, eps=1e-8, eps_root=1e-10, nesterov=True)],
}
