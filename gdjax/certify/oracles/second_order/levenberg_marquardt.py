"""The oracle of `gdjax.optimizers.second_order.levenberg_marquardt`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.second_order.follow import bent


def levenberg_marquardt(
    start: np.ndarray,
    residuals: Callable[[np.ndarray], np.ndarray],
    jacobian: Callable[[np.ndarray], np.ndarray],
    steps: int,
    initial_damping: Any = 1e-3,
) -> np.ndarray:
    """Madsen, Nielsen & Tingleff 2004, Algorithm 3.16, by normal equations, in the scale D of More 1978.

    A refused step repeats the point.
    """
    x = np.asarray(start, float)
    mu, nu, path, longest = initial_damping, 2.0, [x], np.zeros(x.size)
    for _ in range(steps):
        r, j = residuals(x), jacobian(x)
        longest = np.maximum(longest, np.sqrt(np.sum(j * j, axis=0)))
        d_squared = np.diag(np.where(longest > 0, longest, 1) ** 2)
        g = j.T @ r
        h = np.linalg.solve(j.T @ j + mu * d_squared, -g)
        new = residuals(x + h)
        with np.errstate(invalid="ignore"):  # 0/0 at the solution: refused
            rho = (r @ r - new @ new) / (h @ (mu * d_squared @ h - g))
        if rho > 0:
            x, mu, nu = x + h, mu * max(1 / 3, 1 - (2 * rho - 1) ** 3), 2.0
        else:
            mu, nu = mu * nu, 2 * nu
        path.append(x)
    return np.stack(path)


EXAMPLES = {
    "levenberg_marquardt": lambda: [o.levenberg_marquardt(bent)],
}
