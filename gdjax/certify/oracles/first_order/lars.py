"""The oracle of `gdjax.optimizers.first_order.lars`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import at, per_leaf
from gdjax.certify.oracles.masks import matrices


def _length(x, least=0.0):
    return max(np.linalg.norm(np.ravel(x)), least)


def trust_ratio(u: np.ndarray, p: np.ndarray, coefficient: Any = 1.0, eps: Any = 0.0, least: Any = 0.0) -> Any:
    size, step = _length(p, least), _length(u, least)
    return 1.0 if size == 0 or step == 0 else coefficient * size / (step + eps)


@per_leaf
def lars(
    p,
    learning_rate,
    weight_decay,
    weight_decay_mask,
    trust_coefficient,
    eps,
    trust_ratio_mask,
    momentum,
    nesterov,
):
    trace, u = 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        g = g + (at(weight_decay, t) * p if weight_decay_mask else 0)
        step = at(learning_rate, t) * (trust_ratio(g, p, trust_coefficient, eps) if trust_ratio_mask else 1) * g
        trace = step + momentum * trace
        u = -(step + momentum * trace if nesterov else trace)


EXAMPLES = {
    "lars": lambda: [
        o.lars(0.01),
        o.lars(
            schedules.cosine(0.01, 1000),
            weight_decay=0.1,
            weight_decay_mask=matrices,
            eps=1e-3,
            trust_ratio_mask=matrices,
            nesterov=True,
        ),
    ],
}
