"""The oracle of `gdjax.optimizers.second_order.gauss_newton`."""

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.second_order.follow import bent


def gauss_newton(start, residuals, jacobian, steps):
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
