"""The oracle of `gdjax.optimizers.first_order.adopt`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.reasons import NO_COMPLEX


@per_leaf
def adopt(p, learning_rate, b1, b2, eps, mu_dtype, nesterov, use_clipping, clip_value_fn):
    m, v, u = np.zeros(p.shape, p.dtype), None, None
    for t in itertools.count(1):
        g, _, _ = yield u
        if v is None:
            v, u = abs_sq(g), np.zeros(p.shape, p.dtype)
            continue
        d = g / np.maximum(np.sqrt(v), eps)
        if use_clipping:
            limit = float(clip_value_fn(t - 1.0))
            d = np.where(np.abs(d) > limit, limit * np.sign(d), d)
        m, v = b1 * m + (1 - b1) * d, b2 * v + (1 - b2) * abs_sq(g)
        u = -at(learning_rate, t) * (b1 * m + (1 - b1) * d if nesterov else m)


EXAMPLES = {
    "adopt": lambda: [
        o.adopt(0.01),
        o.adopt(0.01, nesterov=True),
        o.adopt(schedules.cosine(0.01, 1000), use_clipping=False),
    ],
}

PARTS_FROM_OPTAX = {
    ("adopt(", "complex128"): NO_COMPLEX,
}
