"""The solution of least squares by Gauss-Newton, and of several solutions the shortest."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.estimators.columns import room_for_columns, room_for_rows, widen
from gdjax.estimators.descent import batch_of
from gdjax.estimators.estimator import Rows
from gdjax.optimizers import gauss_newton
from gdjax.programs import compile_once
from gdjax.solve import minimize


def shortest(rows: Rows, scale: np.ndarray, penalty: float = 0.0, tol: float = 0.0) -> tuple[np.ndarray, ...]:
    """w (d, k) of least sum weight |y - x w|² + penalty |w / scale|², and of all these the one of least |w / scale|.

    Args:
        tol: singular values of x up to tol times the largest, and those that are rounding, count as zero.

    Returns: w, the steps of Gauss-Newton (k,), and the mean of the halved squares before and after, (2,).
    """
    x, y, weights = batch_of(rows, room_for_rows(len(rows.y)))
    d, size, root = x.shape[1], room_for_columns(x.shape[1]), np.sqrt(weights)[:, None]
    strength = np.sqrt(penalty * len(y) / rows.weights.sum()) / scale
    tol = np.float64(max(tol, max(x.shape) * np.finfo(np.float64).eps))
    args = (root * widen(x, size), root * y, widen(strength, size), widen(scale, size, 1), tol)
    w, steps, losses = jax.tree.map(np.asarray, compile_once(_shortest)(*args))
    return w[:, :d].T, steps, losses


def _shortest(x: Any, y: Any, strength: Any, scale: Any, tol: Any) -> tuple[jax.Array, ...]:
    _, d = x.shape
    q, triangle = jnp.linalg.qr(jnp.concatenate([x, jnp.diag(strength)]))  # of size (d, d): few rows are left
    turned = jnp.concatenate([y, jnp.zeros((d, y.shape[1]))]).T @ q
    u, sizes, v = jnp.linalg.svd(triangle)
    counts = sizes > tol * sizes[0]
    determined, free = (u * jnp.where(counts, sizes, 0)) @ v, jnp.where(counts[:, None], 0, v)

    def solve(y):
        w = _gauss_newton(lambda w: determined @ w - y, d)
        shift = _gauss_newton(lambda c: (w.params + c @ free) / scale, d)
        return w.params + shift.params @ free, jnp.maximum(w.steps, 1)

    w, steps = jax.vmap(solve)(turned)
    objective = lambda w: jnp.mean((x @ w.T - y) ** 2) / 2 + jnp.sum((strength * w) ** 2) / (2 * y.size)  # noqa: E731
    return w, steps, jnp.stack([objective(0 * w), objective(w)])


def _gauss_newton(residuals: Any, size: int) -> Any:
    """Of least sum residuals², from zero."""
    half = lambda w: jnp.sum(residuals(w) ** 2) / 2  # noqa: E731
    return minimize(half, jnp.zeros(size), gauss_newton(residuals, linesearch=None), max_steps=10)
