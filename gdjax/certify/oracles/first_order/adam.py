"""Oracles of `gdjax.optimizers.first_order.adam`."""

from __future__ import annotations

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import Oracle, abs_sq, at, per_leaf
from gdjax.certify.oracles.masks import matrices


@per_leaf
def adamw(p, learning_rate, b1, b2, eps, eps_root, mu_dtype=None, weight_decay=0.0, mask=True, nesterov=False):
    mu, nu, u = 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        c1, c2 = at(b1, t), at(b2, t)
        mu, nu = c1 * mu + (1 - c1) * g, c2 * nu + (1 - c2) * abs_sq(g)
        mu_hat = mu / (1 - c1**t)
        if nesterov:
            mu_hat = c1 * mu / (1 - c1 ** (t + 1)) + (1 - c1) * g / (1 - c1**t)
        direction = mu_hat / (np.sqrt(nu / (1 - c2**t) + eps_root) + eps)
        u = -at(learning_rate, t) * (direction + (at(weight_decay, t) * p if mask else 0))


adam: Oracle = adamw  # without decay
nadam: Oracle = adamw  # nesterov is passed
nadamw: Oracle = adamw


EXAMPLES = {
    "nadam": lambda: [o.nadam(0.01), o.nadam(0.01, nesterov=False)],
    "nadamw": lambda: [o.nadamw(0.01), o.nadamw(schedules.cosine(0.01, 1000), weight_decay=0.1, mask=matrices)],
    "adam": lambda: [
        o.adam(0.01),
        o.adam(schedules.cosine(0.01, 1000), b1=0.8, eps=1e-4, eps_root=1e-6, nesterov=True),
    ],
    "adamw": lambda: [
        o.adamw(0.01),
        o.adamw(0.01, b1=schedules.linear(0.5, 0.9, 500), weight_decay=schedules.constant(0.1), mask=matrices),
    ],
}
