"""The oracle of `gdjax.optimizers.first_order.simplified_ademamix`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.masks import matrices


@per_leaf
def simplified_ademamix(p, learning_rate, b1, b2, alpha, eps, eps_root, weight_decay, mask):
    total, v, u = 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        total, v = b1 * total + g, b2 * v + (1 - b2) * abs_sq(g)
        direction = (total + at(alpha, t) * g) / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)
        u = -at(learning_rate, t) * (direction + (at(weight_decay, t) * p if mask else 0))


EXAMPLES = {
    "simplified_ademamix": lambda: [
        o.simplified_ademamix(0.01),
        o.simplified_ademamix(0.01, alpha=2.0, weight_decay=0.1, mask=matrices),
    ],
}

PARTS_FROM_OPTAX = {
    ("simplified_ademamix(", "complex128"): "Optax averages g² instead of |g|²",
}
