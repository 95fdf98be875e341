"""The oracle of `gdjax.optimizers.first_order.adam_mini`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.masks import matrices


@per_leaf
def adam_mini(p, learning_rate, b1, b2, eps, weight_decay, mask, by):
    m, v, u = 0, 0, None
    axes = tuple(range(p.ndim - 1)) if p.ndim > 1 and by == "column" else None
    for t in itertools.count(1):
        g, p, _ = yield u
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * (np.mean(abs_sq(g), axis=axes) if g.size else 0)
        d = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)
        u = -at(learning_rate, t) * (d + (at(weight_decay, t) * p if mask else 0))


EXAMPLES = {
    "adam_mini": lambda: [o.adam_mini(0.01), o.adam_mini(0.01, b1=0.8, weight_decay=0.1, mask=matrices, by="leaf")],
}
