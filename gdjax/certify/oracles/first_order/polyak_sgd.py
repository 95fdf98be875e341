"""The oracle of `gdjax.optimizers.first_order.polyak_sgd`, over all leaves as one vector."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import Path, abs_sq, at

NOTHING = np.finfo(float).eps


def flat(leaves: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.ravel(x) for x in leaves])


def split(vector: np.ndarray, like: list[np.ndarray]) -> list[np.ndarray]:
    ends = np.cumsum([x.size for x in like])[:-1]
    return [part.reshape(x.shape) for part, x in zip(np.split(vector, ends), like, strict=True)]


def polyak_sgd(
    params: list[np.ndarray], max_learning_rate: Any, scaling: Any, f_min: Any, eps: Any, variant: str
) -> Path:
    updates = None
    for t in itertools.count(1):
        grads, _, value = yield updates
        g = flat(grads)
        squared = np.sum(abs_sq(g))
        gap = max(value - f_min, 0) if variant == "sps+" else value - f_min
        step = 0.0 if squared + eps <= NOTHING else min(gap / (squared + eps), max_learning_rate)
        updates = split(-at(scaling, t) * step * g, grads)


EXAMPLES = {
    "polyak_sgd": lambda: [
        o.polyak_sgd(),
        o.polyak_sgd(scaling=0.5),
        o.polyak_sgd(0.5, scaling=schedules.cosine(1.0, 1000), f_min=0.1, eps=1e-3, variant="sps+"),
    ],
}

PARTS_FROM_OPTAX = {
    "polyak_sgd(scaling=0.5": "Optax scales the gradient before it takes |g|²: half the scaling doubles the step",
}
