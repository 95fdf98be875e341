"""Oracle of `gdjax.optimizers.transforms.add_noise`. Noise is drawn by JAX from the same keys."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.calls import as_key
from gdjax.certify.oracles.draws import split_normals
from gdjax.certify.oracles.transforms.each_leaf import all_leaves
from gdjax.certify.oracles.wrappers.lift import Wrapped


def add_noise(params: list[np.ndarray], eta: Any, gamma: Any, key: Any, seed: int) -> Wrapped:
    """Neelakantan et al. 2015: variance eta / t^gamma, here from t = 1; real and imaginary part have half of it each."""
    given = key if key is not None else seed
    now = as_key(0 if given is None else given)

    def noisy(grads, t):
        nonlocal now
        now, z = split_normals(now, tuple((g.shape, g.dtype.name) for g in grads), twice=True)
        return [g + np.sqrt(eta / t**gamma) * x for g, x in zip(grads, z, strict=True)]

    yield from all_leaves(noisy)


EXAMPLES = {
    "add_noise": lambda: [o.add_noise(0.3, 0.55, 4)],
}
