"""The oracle of `gdjax.optimizers.first_order.signum`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import at, per_leaf


@per_leaf
def signum(p, learning_rate, beta, accumulator_dtype):
    mean, u = 0, None
    for t in itertools.count(1):
        g, _, _ = yield u
        mean = beta * mean + (1 - beta) * g
        u = -at(learning_rate, t) * np.sign(mean)


EXAMPLES = {
    "signum": lambda: [o.signum(0.01), o.signum(schedules.cosine(0.01, 1000), beta=0.5)],
}
