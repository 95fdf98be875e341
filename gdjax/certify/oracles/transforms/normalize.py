"""Oracle of `gdjax.optimizers.transforms.normalize`."""

from __future__ import annotations

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.transforms.each_leaf import all_leaves
from gdjax.certify.oracles.wrappers.lift import Wrapped, norm, over


def normalize(params: list[np.ndarray]) -> Wrapped:
    yield from all_leaves(lambda grads, t: [over(g, norm(grads)) for g in grads])


EXAMPLES = {
    "normalize": lambda: [o.normalize()],
}

LEFT_OUT = {
    "normalize: optax": (("zeros",), "Optax gives NaN at a zero gradient"),
}
