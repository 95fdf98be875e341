"""The oracle of `gdjax.optimizers.first_order.ademamix`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.masks import matrices


@per_leaf
def ademamix(p, learning_rate, b1, b2, b3, alpha, eps, eps_root, mu_dtype, weight_decay, mask):
    fast, slow, v, u = 0, 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        fast, slow = b1 * fast + (1 - b1) * g, at(b3, t) * slow + (1 - at(b3, t)) * g
        v = b2 * v + (1 - b2) * abs_sq(g)
        direction = (fast / (1 - b1**t) + at(alpha, t) * slow) / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)
        u = -at(learning_rate, t) * (direction + (at(weight_decay, t) * p if mask else 0))


EXAMPLES = {
    "ademamix": lambda: [
        o.ademamix(0.01),
        o.ademamix(0.01, b3=schedules.linear(0.9, 0.999, 500), alpha=schedules.linear(0.0, 5.0, 500), weight_decay=0.1),
        o.ademamix(schedules.cosine(0.01, 1000), eps_root=1e-6, weight_decay=0.1, mask=matrices),
    ],
}
