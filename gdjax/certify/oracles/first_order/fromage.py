"""The oracle of `gdjax.optimizers.first_order.fromage`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.first_order.lars import trust_ratio
from gdjax.certify.oracles.lift import at, per_leaf


@per_leaf
def fromage(p, learning_rate, min_norm):
    u = None
    for t in itertools.count(1):
        g, p, _ = yield u
        eta = at(learning_rate, t)
        root = np.sqrt(1 + eta**2)
        u = -eta / root * trust_ratio(g, p, least=min_norm) * g - eta**2 / (root * (1 + root)) * p


EXAMPLES = {
    "fromage": lambda: [o.fromage(0.01), o.fromage(schedules.cosine(0.1, 1000), min_norm=0.1)],
}

LIMITS = {
    "fromage(": (1e-6, "Optax takes 1 from 1/sqrt(1 + r²), which costs it the digits of r²"),
}
