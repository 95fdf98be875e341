"""The oracle of `gdjax.optimizers.first_order.optimistic_gradient_descent`."""

import itertools

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import at, per_leaf


@per_leaf
def optimistic_gradient_descent(p, learning_rate, alpha, beta):
    before, u = None, None
    for t in itertools.count(1):
        g, _, _ = yield u
        before = g if before is None else before
        u = -at(learning_rate, t) * (at(alpha, t) * g + at(beta, t) * (g - before))
        before = g


EXAMPLES = {
    "optimistic_gradient_descent": lambda: [
        o.optimistic_gradient_descent(0.01),
        o.optimistic_gradient_descent(0.01, schedules.linear(1.0, 0.5, 1000), beta=0.5),
    ],
}
