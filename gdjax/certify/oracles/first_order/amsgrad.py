"""The oracle of `gdjax.optimizers.first_order.amsgrad`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


@per_leaf
def amsgrad(p, learning_rate, b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu):
    m, v, largest, u = 0, 0, 0, None
    for t in itertools.count(1):
        g, _, _ = yield u
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * abs_sq(g)
        largest = np.maximum(largest, v / (1 - b2**t) if bias_correction_nu else v)
        m_hat = m / (1 - b1**t) if bias_correction_mu else m
        u = -at(learning_rate, t) * m_hat / (np.sqrt(largest + eps_root) + eps)


EXAMPLES = {
    "amsgrad": lambda: [
        o.amsgrad(0.01),
        o.amsgrad(0.01, eps_root=1e-6, bias_correction_mu=False, bias_correction_nu=False),
    ],
}
