"""The oracle of `gdjax.optimizers.first_order.dowg`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.first_order.dog import add_decay
from gdjax.certify.oracles.first_order.polyak_sgd import flat, split
from gdjax.certify.oracles.lift import Path, abs_sq, at
from gdjax.certify.oracles.masks import matrices


def dowg(
    params: list[np.ndarray], learning_rate: Any, init_estim_sq_dist: Any, eps: Any, weight_decay: Any, mask: Any
) -> Path:
    start, squared = flat(params), eps if init_estim_sq_dist is None else init_estim_sq_dist
    total, updates = 0.0, None
    for t in itertools.count(1):
        grads, params, _ = yield updates
        g = add_decay(grads, params, weight_decay, mask)
        squared = max(squared, np.sum(abs_sq(flat(params) - start)))
        total += squared * np.sum(abs_sq(g))
        updates = split(-at(learning_rate, t) * squared / (np.sqrt(total) + eps) * g, grads)


EXAMPLES = {
    "dowg": lambda: [o.dowg(), o.dowg(0.5, 0.1, weight_decay=0.1, mask=matrices)],
}
