"""Oracle of `gdjax.optimizers.transforms.centralize`."""

from __future__ import annotations

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.transforms.each_leaf import each_leaf
from gdjax.certify.oracles.wrappers.lift import Wrapped


def centralize(params: list[np.ndarray], axis: int) -> Wrapped:
    def center(g, p):
        if g.ndim < 2 or not g.size:
            return g
        return g - g.mean(axis=tuple(range(1, g.ndim)) if axis is None else axis, keepdims=True)

    yield from each_leaf(center)


EXAMPLES = {
    "centralize": lambda: [o.centralize(), o.centralize(axis=0)],
}
