"""The oracle of `gdjax.optimizers.first_order.radam`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


@per_leaf
def radam(p, learning_rate, b1, b2, eps, eps_root, threshold, nesterov):
    m, v, u = 0, 0, None
    rho_inf = 2 / (1 - b2) - 1
    for t in itertools.count(1):
        g, _, _ = yield u
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * abs_sq(g)
        m_hat = m / (1 - b1**t)
        if nesterov:
            m_hat = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        rho = rho_inf - 2 * t * b2**t / (1 - b2**t)
        step = m_hat
        if rho >= threshold:
            r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            step = r * m_hat / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)
        u = -at(learning_rate, t) * step


EXAMPLES = {
    "radam": lambda: [o.radam(0.01), o.radam(0.01, eps_root=1e-6, threshold=6.0, nesterov=True)],
}
