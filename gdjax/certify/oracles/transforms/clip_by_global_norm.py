"""Oracle of `gdjax.optimizers.transforms.clip_by_global_norm`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.transforms.clip_by_norm import shortening
from gdjax.certify.oracles.transforms.each_leaf import all_leaves
from gdjax.certify.oracles.wrappers.lift import Wrapped, norm


def clip_by_global_norm(params: list[np.ndarray], max_norm: Any) -> Wrapped:
    def clip_leaves(grads, t):
        factor = shortening(norm(grads), max_norm)
        return [g * factor for g in grads]

    yield from all_leaves(clip_leaves)


EXAMPLES = {
    "clip_by_global_norm": lambda: [o.clip_by_global_norm(1.0)],
}
