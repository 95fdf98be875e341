"""Oracle of `gdjax.optimizers.transforms.orthogonalize`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.first_order.muon import orthogonal_factor
from gdjax.certify.oracles.transforms.each_leaf import each_leaf
from gdjax.certify.oracles.wrappers.lift import Wrapped


def orthogonalize(params: list[np.ndarray], ns_coeffs: Any, ns_steps: int, eps: Any) -> Wrapped:
    def orthogonal(g, p):
        if g.ndim < 2 or not g.size:
            return g
        return orthogonal_factor(g.reshape(-1, g.shape[-1]), ns_coeffs, ns_steps, eps, "frobenius").reshape(g.shape)

    yield from each_leaf(orthogonal)


EXAMPLES = {
    "orthogonalize": lambda: [o.orthogonalize(), o.orthogonalize((2.0, -1.5, 0.5), 3)],
}
