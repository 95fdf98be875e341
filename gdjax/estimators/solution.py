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
    if rows.x.shape[0] < rows.x.shape[1]:
        return _shortest_of_wide(rows, scale, penalty)
    x, y, weights = batch_of(rows, room_for_rows(len(rows.y)))
    d, size, root = x.shape[1], room_for_columns(x.shape[1]), np.sqrt(weights)[:, None]
    strength = np.sqrt(penalty * len(y) / rows.weights.sum()) / scale
    tol = np.float64(max(tol, max(x.shape) * np.finfo(np.float64).eps))
    args = (root * widen(x, size), root * y, widen(strength, size, np.sqrt(len(y))), widen(scale, size, 1), tol)
    w, steps, losses = jax.tree.map(np.asarray, compile_once(_shortest)(*args))
    return w[:, :d].T, steps, losses


def _shortest_of_wide(rows: Rows, scale: np.ndarray, penalty: float) -> tuple[np.ndarray, ...]:
    """Of more columns than rows: w / scale is a combination of the rows in the units of the table, of which q is a basis."""
    unit = scale.max()
    q = np.linalg.qr((rows.x * (scale / unit)).T)[0]
    inner = rows._replace(x=rows.x * (scale / unit) @ q)
    w, steps, losses = shortest(inner, np.ones(q.shape[1]), penalty / unit**2)
    return (scale / unit)[:, None] * (q @ w), steps, losses


def _shortest(x: Any, y: Any, strength: Any, scale: Any, tol: Any) -> tuple[jax.Array, ...]:
    _, d = x.shape
    q, triangle = jnp.linalg.qr(jnp.concatenate([x, jnp.diag(strength)]))  # of size (d, d): few rows are left
    turned = jnp.concatenate([y, jnp.zeros((d, y.shape[1]))]).T @ q
    u, sizes, v = jnp.linalg.svd(triangle)
    counts = sizes > tol * sizes[0]
    determined, free = (u * jnp.where(counts, sizes, 0)) @ v, jnp.where(counts[:, None], 0, v)

    def solve(y):
        found = _gauss_newton(lambda w: determined @ w - y, d)
        shorten = lambda w: w + _gauss_newton(lambda c: (w + c @ free) / scale, d).params @ free  # noqa: E731
        return jax.lax.cond(counts.all(), lambda w: w, shorten, found.params), jnp.maximum(found.steps, 1)

    w, steps = jax.vmap(solve)(turned)
    objective = lambda w: jnp.mean((x @ w.T - y) ** 2) / 2 + jnp.sum((strength * w) ** 2) / (2 * y.size)  # noqa: E731
    return w, steps, jnp.stack([objective(0 * w), objective(w)])


def _gauss_newton(residuals: Any, size: int) -> Any:
    """Of least sum residuals², from zero: of residuals that are linear, one step."""
    half = lambda w: jnp.sum(residuals(w) ** 2) / 2  # noqa: E731
    return minimize(half, jnp.zeros(size), gauss_newton(residuals, linesearch=None), max_steps=1)
