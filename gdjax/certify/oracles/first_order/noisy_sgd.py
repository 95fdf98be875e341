"""The oracle of `gdjax.optimizers.first_order.noisy_sgd`; the random numbers are part of what is recorded."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.calls import as_key
from gdjax.certify.oracles.draws import split_normals
from gdjax.certify.oracles.lift import Path, at


def noisy_sgd(params: list[np.ndarray], learning_rate: Any, eta: Any, gamma: Any, key: Any, seed: int) -> Path:
    given = key if key is not None else seed
    state, updates = as_key(0 if given is None else given), None
    for t in itertools.count(1):
        grads, _, _ = yield updates
        state, noise = split_normals(state, tuple((g.shape, g.dtype.name) for g in grads), twice=True)
        spread = np.sqrt(eta / t**gamma)
        updates = [-at(learning_rate, t) * (g + spread * z) for g, z in zip(grads, noise, strict=True)]


EXAMPLES = {
    "noisy_sgd": lambda: [o.noisy_sgd(0.01, key=3), o.noisy_sgd(0.01, eta=1.0, gamma=0.3, seed=5)],
}
