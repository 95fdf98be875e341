"""The oracle of `gdjax.optimizers.first_order.sign_sgd`."""

import itertools

import numpy as np

from gdjax.certify.oracles.lift import at, per_leaf


@per_leaf
def sign_sgd(p, learning_rate):
    u = None
    for t in itertools.count(1):
        g, _, _ = yield u
        u = -at(learning_rate, t) * np.sign(g)
