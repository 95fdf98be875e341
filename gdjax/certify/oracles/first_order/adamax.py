"""The oracle of `gdjax.optimizers.first_order.adamax`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import at, per_leaf
from gdjax.certify.oracles.masks import matrices


@per_leaf
def adamaxw(p, learning_rate, b1, b2, eps, weight_decay=0.0, mask=True):
    m, infinity, u = 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        m, infinity = b1 * m + (1 - b1) * g, np.maximum(b2 * infinity, np.abs(g) + eps)
        u = -at(learning_rate, t) * (m / ((1 - b1**t) * infinity) + (at(weight_decay, t) * p if mask else 0))


adamax = adamaxw


EXAMPLES = {
    "adamax": lambda: [o.adamax(0.01), o.adamax(schedules.cosine(0.01, 1000), b1=0.8, b2=0.99)],
    "adamaxw": lambda: [o.adamaxw(0.01), o.adamaxw(0.01, weight_decay=0.1, mask=matrices)],
}
