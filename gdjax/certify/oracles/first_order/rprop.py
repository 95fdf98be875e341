"""The oracle of `gdjax.optimizers.first_order.rprop`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import at, per_leaf


@per_leaf
def rprop(p, learning_rate, eta_minus, eta_plus, min_step_size, max_step_size, delayed):
    size, before, u = np.full(p.shape, at(learning_rate, 1)), np.zeros(p.shape), None
    for _ in itertools.count(1):
        g, _, _ = yield u
        same, turned = g * before > 0, g * before < 0
        size = np.where(same, np.clip(size * eta_plus, min_step_size, max_step_size), size)
        size = np.where(turned, np.clip(size * eta_minus, min_step_size, max_step_size), size)
        now = np.where(turned, 0, size * np.sign(g))
        u = -np.where(turned, 0, before) if delayed else -now
        before = now


EXAMPLES = {
    "rprop": lambda: [
        o.rprop(0.01),
        o.rprop(0.01, eta_minus=0.6, eta_plus=1.1, min_step_size=1e-3, max_step_size=0.1),
        o.rprop(0.01, delayed=False),
    ],
}

UNSCHEDULED = {
    "rprop": {"learning_rate"},
}

LEFT_OUT = {
    ("rprop", "oracle"): (
        ("ravine",),
        "the product of slopes below 1e-154 is too small a number: 0 to XLA, not to others",
    ),
    ("rprop", "torch"): (
        ("ravine",),
        "the product of slopes below 1e-154 is too small a number: 0 to XLA, not to others",
    ),
}

REAL_ONLY = {
    "rprop": "whether a slope has turned is asked of real numbers",
}
