"""The oracle of `gdjax.optimizers.second_order.gauss_newton`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.second_order.follow import bent


def gauss_newton(
    start: np.ndarray,
    residuals: Callable[[np.ndarray], np.ndarray],
    jacobian: Callable[[np.ndarray], np.ndarray],
    steps: int,
) -> np.ndarray:
    """Full steps of linear least squares; Nocedal & Wright 2006, section 10.3."""
    x = np.asarray(start, float)
    path = [x]
    for _ in range(steps):
        x = x - np.linalg.pinv(jacobian(x)) @ residuals(x)
        path.append(x)
    return np.stack(path)


EXAMPLES = {
    "gauss_newton": lambda: [o.gauss_newton(bent)],
}
