"""The oracle of `gdjax.optimizers.first_order.momo_adam`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.first_order.momo import momo_step
from gdjax.certify.oracles.first_order.polyak_sgd import flat, split
from gdjax.certify.oracles.lift import Path, abs_sq, at
from gdjax.certify.oracles.reasons import NORMS


def momo_adam(
    params: list[np.ndarray],
    learning_rate: Any,
    b1: Any,
    b2: Any,
    eps: Any,
    lower_bound: Any,
    weight_decay: Any,
    adapt_lower_bound: bool,
) -> Path:
    m, v, barf, gamma, lb, updates = 0, 0, 0, 0, lower_bound, None
    for t in itertools.count(1):
        grads, params, value = yield updates
        g, p, rate = flat(grads), flat(params), at(learning_rate, t)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * abs_sq(g)
        barf, gamma = b1 * barf + (1 - b1) * value, b1 * gamma + (1 - b1) * np.vdot(g, p).real
        direction = m / (eps + np.sqrt(v / (1 - b2**t)))
        c, q = 1 - b1**t, 1 + rate * weight_decay
        squared, product = np.vdot(m, direction).real, np.vdot(m, p).real
        tau, lb = momo_step(q, barf, lb, gamma, product, squared, rate / c, c, lower_bound, adapt_lower_bound)
        updates = split(-tau * direction - rate * weight_decay / q * p, grads)


EXAMPLES = {
    "momo_adam": lambda: [o.momo_adam(0.01), o.momo_adam(0.1, b1=0.5, weight_decay=0.1, adapt_lower_bound=True)],
}

LIMITS = {
    "momo_adam(": (1e-11, "the length of a step is what sums of products leave when they cancel"),
}

PARTS_FROM_OPTAX = {
    ("momo_adam(", "complex128"): "Optax averages g² instead of |g|²",
}

LEFT_OUT = {
    "momo_adam": (("non_finite", "huge"), f"{NORMS}; the value there is not that of the slope"),
}
