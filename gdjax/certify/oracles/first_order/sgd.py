"""The oracle of `gdjax.optimizers.first_order.sgd`."""

import itertools

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import at, per_leaf


@per_leaf
def sgd(p, learning_rate, momentum, nesterov, accumulator_dtype):
    trace, u = 0, None
    for t in itertools.count(1):
        g, _, _ = yield u
        direction = g
        if momentum is not None:
            trace = g + at(momentum, t) * trace
            direction = g + at(momentum, t) * trace if nesterov else trace
        u = -at(learning_rate, t) * direction


EXAMPLES = {
    "sgd": lambda: [
        o.sgd(0.01),
        o.sgd(0.01, momentum=0.9),
        o.sgd(schedules.cosine(0.01, 1000), momentum=0.9, nesterov=True),
    ],
}
