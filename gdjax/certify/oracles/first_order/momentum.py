"""The oracle of `gdjax.optimizers.first_order.momentum`."""

import itertools

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import at, per_leaf


@per_leaf
def momentum(p, learning_rate, decay, nesterov):
    velocity, u = 0, None
    for t in itertools.count(1):
        g, _, _ = yield u
        velocity = at(decay, t) * velocity - at(learning_rate, t) * g
        u = at(decay, t) * velocity - at(learning_rate, t) * g if nesterov else velocity


EXAMPLES = {
    "momentum": lambda: [o.momentum(0.01), o.momentum(schedules.linear(0.1, 0.0, 1000), 0.8, nesterov=True)],
}
