"""The oracle of `gdjax.optimizers.first_order.cocob`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import at, per_leaf
from gdjax.certify.oracles.masks import matrices
from gdjax.certify.oracles.reasons import NO_COMPLEX


@per_leaf
def cocob(p, learning_rate, alpha, eps, weight_decay, mask):
    start, largest, total, sizes, reward, u = p, eps, 0, 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        c = at(learning_rate, t) * (g + (weight_decay * p if mask else 0))
        largest = np.maximum(largest, np.abs(c))
        total, sizes = total - c, sizes + np.abs(c)
        reward = np.maximum(reward - (c.conj() * (p - start)).real, 0)
        share = total / (largest * np.maximum(sizes + largest, alpha * largest))
        u = start - p + share * (largest + reward)


EXAMPLES = {
    "cocob": lambda: [o.cocob(), o.cocob(0.5, alpha=10.0, weight_decay=0.1, mask=matrices)],
}

PARTS_FROM_OPTAX = {
    ("cocob(", "complex128"): NO_COMPLEX,
}

BY_PARAMETERS = {
    "cocob": "its reference takes an update as a difference of parameters",
}
