"""The oracle of `gdjax.optimizers.first_order.adagrad`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


@per_leaf
def adagrad(p, learning_rate, initial_accumulator_value, eps):
    total, u = np.full(p.shape, initial_accumulator_value, float), None
    for t in itertools.count(1):
        g, p, _ = yield u
        total = total + abs_sq(g)
        u = -at(learning_rate, t) * np.where(total > 0, g / np.sqrt(total + eps), 0)


EXAMPLES = {
    "adagrad": lambda: [o.adagrad(0.01), o.adagrad(0.01, initial_accumulator_value=0.0, eps=1e-5)],
}
