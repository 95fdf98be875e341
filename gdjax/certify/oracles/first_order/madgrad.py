"""The oracle of `gdjax.optimizers.first_order.madgrad`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.reasons import NO_COMPLEX


@per_leaf
def madgrad(p, learning_rate, momentum, weight_decay, eps):
    start, squares, total, u = p, 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        g = g + weight_decay * p
        weight = (at(learning_rate, t) + eps) * np.sqrt(t)
        squares, total = squares + weight * abs_sq(g), total + weight * g
        z = start - total / (np.cbrt(squares) + eps)
        u = (1 - momentum) * (z - p)


EXAMPLES = {
    "madgrad": lambda: [o.madgrad(0.01), o.madgrad(schedules.cosine(0.01, 1000), momentum=0.5, weight_decay=0.1)],
}

PARTS_FROM_OPTAX = {
    ("madgrad(", "float64"): "Optax takes sqrt(t) in float32",
    ("madgrad(", "complex128"): NO_COMPLEX,
}
