"""Oracle of `gdjax.optimizers.transforms.adaptive_grad_clip`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.transforms.clip_by_norm import shortening
from gdjax.certify.oracles.transforms.each_leaf import each_leaf
from gdjax.certify.oracles.wrappers.lift import Wrapped


def adaptive_grad_clip(params: list[np.ndarray], clipping: Any, eps: Any, axis: int) -> Wrapped:
    """Brock et al. 2021, equation 3; a unit is a column of a matrix (inputs, outputs)."""

    def size(x):
        along = axis
        if axis is None and x.ndim > 1:
            along = 0 if x.ndim <= 3 else tuple(range(x.ndim - 1))
        return np.sqrt(np.sum(np.abs(x) ** 2, axis=along, keepdims=True))

    yield from each_leaf(lambda g, p: g * shortening(size(g), clipping * np.maximum(size(p), eps)))


EXAMPLES = {
    "adaptive_grad_clip": lambda: [
        o.adaptive_grad_clip(1e-3),
        o.adaptive_grad_clip(2e-4, 0.3, axis=()),
    ],
}

LEFT_OUT = {
    "adaptive_grad_clip": (("non_finite",), "a parameter that is NaN has no norm to compare a gradient with"),
}
