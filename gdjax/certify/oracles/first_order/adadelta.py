"""The oracle of `gdjax.optimizers.first_order.adadelta`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.masks import matrices


@per_leaf
def adadelta(p, learning_rate, rho, eps, weight_decay, weight_decay_mask):
    e_g, e_x, u = 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        b = at(rho, t)
        g = g + (at(weight_decay, t) * p if weight_decay_mask else 0)
        e_g = b * e_g + (1 - b) * abs_sq(g)
        d = np.sqrt(e_x + eps) / np.sqrt(e_g + eps) * g
        e_x = b * e_x + (1 - b) * abs_sq(d)
        u = -(1 if learning_rate is None else at(learning_rate, t)) * d


EXAMPLES = {
    "adadelta": lambda: [o.adadelta(1.0), o.adadelta(0.5, rho=0.95, weight_decay=0.1, weight_decay_mask=matrices)],
}

PARTS_FROM_OPTAX = {
    ("adadelta(", "complex128"): "Optax averages g² instead of |g|²",
}
