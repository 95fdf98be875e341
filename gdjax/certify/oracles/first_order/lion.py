"""The oracle of `gdjax.optimizers.first_order.lion`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import at, per_leaf
from gdjax.certify.oracles.masks import matrices


@per_leaf
def lion(p, learning_rate, b1, b2, mu_dtype, weight_decay, mask):
    m, u = 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        direction = np.sign(b1 * m + (1 - b1) * g)
        m = b2 * m + (1 - b2) * g
        u = -at(learning_rate, t) * (direction + (at(weight_decay, t) * p if mask else 0))


EXAMPLES = {
    "lion": lambda: [o.lion(0.01), o.lion(schedules.cosine(0.01, 1000), b1=0.8, weight_decay=0.1, mask=matrices)],
}
