"""The oracle of `gdjax.optimizers.first_order.momo`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.first_order.polyak_sgd import NOTHING, flat, split
from gdjax.certify.oracles.lift import Path, abs_sq, at
from gdjax.certify.oracles.reasons import NORMS


def momo_step(
    q: Any,
    barf: Any,
    lb: Any,
    gamma: Any,
    product: Any,
    squared: Any,
    longest: Any,
    correction: Any,
    least: Any,
    adapt: bool,
) -> tuple[Any, Any]:
    if adapt:
        cap = q * (barf - gamma) + product
        lb = max(cap / (2 * correction * q), least) if cap < q * correction * lb else lb
    reach = max(q * (barf - correction * lb - gamma) + product, 0)
    tau = min(longest, 0.0 if squared <= NOTHING else reach / squared)
    if adapt:
        lb = max((barf + product - gamma - tau * squared / 2) / correction, least)
    return tau, lb


def momo(
    params: list[np.ndarray],
    learning_rate: Any,
    beta: Any,
    lower_bound: Any,
    weight_decay: Any,
    adapt_lower_bound: bool,
) -> Path:
    m, barf, gamma, lb, updates = 0, 0, 0, lower_bound, None
    for t in itertools.count(1):
        grads, params, value = yield updates
        g, p, b, rate = flat(grads), flat(params), 0 if t == 1 else beta, at(learning_rate, t)
        m = b * m + (1 - b) * g
        barf, gamma = b * barf + (1 - b) * value, b * gamma + (1 - b) * np.vdot(g, p).real
        q, squared, product = 1 + rate * weight_decay, np.sum(abs_sq(m)), np.vdot(m, p).real
        tau, lb = momo_step(q, barf, lb, gamma, product, squared, rate, 1.0, lower_bound, adapt_lower_bound)
        updates = split(-tau * m - rate * weight_decay / q * p, grads)


EXAMPLES = {
    "momo": lambda: [o.momo(0.01), o.momo(schedules.cosine(1.0, 1000), 0.5, -1.0, 0.1, adapt_lower_bound=True)],
}

LIMITS = {
    "momo(learning_rate=cosine": (1e-11, "the length of a step is what sums of products leave when they cancel"),
}

PARTS_FROM_OPTAX = {
    ("momo(", "complex128"): "Optax's inner products are complex",
}

LEFT_OUT = {
    "momo": (("non_finite", "huge"), f"{NORMS}; the value there is not that of the slope"),
}
