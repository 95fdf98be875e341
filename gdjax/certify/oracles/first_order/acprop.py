"""The oracle of `gdjax.optimizers.first_order.acprop`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.masks import matrices


@per_leaf
def acprop(p, learning_rate, b1, b2, eps, eps_root, weight_decay, mask):
    m, s, u = 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        spread = 1.0 if t == 1 else np.sqrt(s / (1 - b2 ** (t - 1)))
        u = -at(learning_rate, t) * (g / (spread + eps) + (at(weight_decay, t) * p if mask else 0))
        s = b2 * s + (1 - b2) * abs_sq(g - m) + eps_root
        m = b1 * m + (1 - b1) * g


EXAMPLES = {
    "acprop": lambda: [o.acprop(0.01), o.acprop(0.01, eps=1e-8, weight_decay=0.1, mask=matrices)],
}
