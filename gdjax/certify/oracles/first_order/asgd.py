"""The oracle of `gdjax.optimizers.first_order.asgd`."""

import itertools

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import at, per_leaf


@per_leaf
def asgd(p, learning_rate, lambd, alpha, t0, weight_decay):
    u = None
    for t in itertools.count(1):
        g, p, _ = yield u
        eta = at(learning_rate, t) / (1 + lambd * at(learning_rate, t) * (t - 1)) ** alpha
        u = -eta * (g + weight_decay * p + lambd * p)


EXAMPLES = {
    "asgd": lambda: [o.asgd(0.01), o.asgd(0.01, lambd=1e-2, alpha=0.5, t0=100.0, weight_decay=0.1)],
}
