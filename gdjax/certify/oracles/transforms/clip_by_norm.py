"""Oracle of `gdjax.optimizers.transforms.clip_by_norm`; and min(1, limit / size), for all that shortens."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.transforms.each_leaf import each_leaf
from gdjax.certify.oracles.wrappers.lift import Wrapped, norm


def shortening(size: Any, limit: Any) -> np.ndarray:
    """min(1, limit / size), 1 for a size of 0."""
    size, limit = np.broadcast_arrays(np.asarray(size, float), limit)
    return np.where(size > limit, limit / np.where(size > 0, size, 1), 1.0)


def clip_by_norm(params: list[np.ndarray], max_norm: Any) -> Wrapped:
    yield from each_leaf(lambda g, p: g * shortening(norm([g]), max_norm))


EXAMPLES = {
    "clip_by_norm": lambda: [o.clip_by_norm(0.5)],
}
