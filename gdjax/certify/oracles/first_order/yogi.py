"""The oracle of `gdjax.optimizers.first_order.yogi`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


@per_leaf
def yogi(p, learning_rate, b1, b2, eps):
    m, v, u = 1e-6, 1e-6, None
    for t in itertools.count(1):
        g, _, _ = yield u
        square = abs_sq(g)
        m = b1 * m + (1 - b1) * g
        v = np.where(v > square, v - (1 - b2) * square, np.where(v < square, v + (1 - b2) * square, v))
        u = -at(learning_rate, t) * m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)


EXAMPLES = {
    "yogi": lambda: [o.yogi(0.01), o.yogi(0.01, b1=0.8, eps=1e-5)],
}

LEFT_OUT = {
    ("yogi", "oracle"): (
        ("rosenbrock",),
        "where nu has come to g² itself, rounding decides the sign of their difference",
    ),
}
