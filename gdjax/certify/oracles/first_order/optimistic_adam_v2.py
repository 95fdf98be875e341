"""The oracle of `gdjax.optimizers.first_order.optimistic_adam_v2`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


@per_leaf
def optimistic_adam_v2(p, learning_rate, alpha, beta, b1, b2, eps, eps_root, mu_dtype, nesterov):
    m, v, before, u = 0, 0, None, None
    for t in itertools.count(1):
        g, _, _ = yield u
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * abs_sq(g)
        m_hat = m / (1 - b1**t)
        if nesterov:
            m_hat = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        d = m_hat / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)
        before = d if before is None else before
        u = -at(learning_rate, t) * (alpha * d + beta * (d - before))
        before = d


EXAMPLES = {
    "optimistic_adam_v2": lambda: [
        o.optimistic_adam_v2(0.01),
        o.optimistic_adam_v2(0.01, alpha=0.5, beta=0.3, nesterov=False),
    ],
}
