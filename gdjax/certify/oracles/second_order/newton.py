"""The oracles of Newton's method: whole paths, for it asks the loss for more than its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gdjax import optimizers as o


def newton(
    start: np.ndarray,
    gradient: Callable[[np.ndarray], np.ndarray],
    hessian: Callable[[np.ndarray], np.ndarray],
    steps: int,
    damping: Any = 0.0,
) -> np.ndarray:
    """Full steps against the Hessian with its eigenvalues made positive; Nocedal & Wright 2006, section 3.4."""
    x = np.asarray(start, float)
    path = [x]
    for _ in range(steps):
        values, vectors = np.linalg.eigh(hessian(x))
        x = x - vectors @ ((vectors.T @ gradient(x)) / (np.abs(values) + damping))
        path.append(x)
    return np.stack(path)


def newton_cg(
    start: np.ndarray,
    gradient: Callable[[np.ndarray], np.ndarray],
    hessian: Callable[[np.ndarray], np.ndarray],
    steps: int,
) -> np.ndarray:
    """Nocedal & Wright 2006, Algorithm 7.1, with full steps."""
    x = np.asarray(start, float)
    path = [x]
    for _ in range(steps):
        g, b = gradient(x), hessian(x)
        norm = np.sqrt(g @ g)
        z, r, d = np.zeros_like(g), g, -g
        for j in range(g.size):
            curvature = d @ b @ d
            if curvature <= 0:
                z = d * (g @ g) / abs(curvature) if j == 0 else z
                break
            alpha = r @ r / curvature
            z, new = z + alpha * d, r + alpha * b @ d
            if np.sqrt(new @ new) <= min(0.5, np.sqrt(norm)) * norm:
                break
            d, r = -new + (new @ new) / (r @ r) * d, new
        x = x + z
        path.append(x)
    return np.stack(path)


EXAMPLES = {
    "newton": lambda: [o.newton(), o.newton(0.5, damping=0.1, solver="dense", linesearch=None), o.newton(solver="cg")],
}
