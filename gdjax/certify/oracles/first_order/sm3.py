"""The oracle of `gdjax.optimizers.first_order.sm3`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.reasons import NO_COMPLEX, NO_SCALARS


@per_leaf
def sm3(p, learning_rate, momentum):
    shape = p.shape or (1,)
    sums, mean, u = [np.zeros(d) for d in shape], 0, None
    for t in itertools.count(1):
        g, _, _ = yield u
        g = g.reshape(shape)
        cover = np.full(shape, np.inf)
        for axis, known in enumerate(sums):
            cover = np.minimum(cover, np.expand_dims(known, tuple(i for i in range(g.ndim) if i != axis)))
        cover = cover + abs_sq(g)
        if cover.size:
            sums = [cover.max(axis=tuple(i for i in range(g.ndim) if i != axis)) for axis in range(g.ndim)]
        direction = np.where(cover > 0, g / np.sqrt(cover + 1e-8), 0)
        mean = momentum * mean + (1 - momentum) * direction
        u = -at(learning_rate, t) * mean.reshape(p.shape)


EXAMPLES = {
    "sm3": lambda: [o.sm3(0.01), o.sm3(schedules.cosine(0.01, 1000), momentum=0.5)],
}

UNSCHEDULED = {
    "sm3": {"learning_rate"},
}

PARTS_FROM_OPTAX: dict[Any, str] = {
    ("sm3(", "complex128"): NO_COMPLEX,
    "sm3(": NO_SCALARS,
}
