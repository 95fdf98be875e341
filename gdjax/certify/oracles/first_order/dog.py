"""The oracle of `gdjax.optimizers.first_order.dog`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.first_order.polyak_sgd import flat, split
from gdjax.certify.oracles.lift import Path, abs_sq, at
from gdjax.certify.oracles.masks import matrices


def add_decay(grads: list[np.ndarray], params: list[np.ndarray], weight_decay: Any, mask: Any) -> np.ndarray:
    if weight_decay is None:
        return flat(grads)
    return flat([g + (weight_decay * p if m else 0) for g, p, m in zip(grads, params, mask, strict=True)])


def dog(params: list[np.ndarray], learning_rate: Any, init_step: Any, eps: Any, weight_decay: Any, mask: Any) -> Path:
    (kind, first), start = init_step, flat(params)
    farthest = {"distance": first, "heuristic": first * (1 + np.linalg.norm(start)), "learning_rate": 0.0}[kind]
    total, updates = 0.0, None
    for t in itertools.count(1):
        grads, params, _ = yield updates
        g = add_decay(grads, params, weight_decay, mask)
        farthest = max(farthest, np.linalg.norm(flat(params) - start))
        total += np.sum(abs_sq(g))
        rate = first if kind == "learning_rate" and t == 1 else farthest / np.sqrt(total + eps)
        updates = split(-at(learning_rate, t) * rate * g, grads)


EXAMPLES = {
    "dog": lambda: [
        o.dog(),
        o.dog(0.5, ("distance", 0.1), weight_decay=0.1, mask=matrices),
        o.dog(schedules.cosine(1.0, 1000), ("learning_rate", 0.01)),
    ],
}
