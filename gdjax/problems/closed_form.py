"""The closed-form solution of linear regression."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import is_concrete


def normal_equations(x: Any, y: Any, penalty: Any = 0.0, bias: bool = True) -> dict[str, jax.Array]:
    """The w and b that make the mean of (w·x + b - y)² + penalty |w|² least, by solving for them.

        (A'A + n penalty I) w = A'y,      A and y less their means,      b = mean(y) - w·mean(x)

    The bias is no obstacle: taking the means away is what a column of ones would do; it is done in float64 where x and y are
    concrete. A'A is never formed, which would square the condition of A: with A over sqrt(n penalty) I = QR, columns first
    brought to length 1, w solves R w = Q'y. About 2 (n + d) d² operations, where a step of descent takes 4 n d.

    Args:
        x: (n, d).
        y: (n,).
        penalty: >= 0, of the weights, not of the bias.
        bias: False fits w alone, through the origin.

    Returns: {"w": (d,), "b": ()}; NaN where penalty is 0 and columns depend, but for rounding, on each other or the bias.
    Raises: ValueError for other shapes.

    >>> print(gd.problems.normal_equations(jnp.array([[0.0], [1.0], [2.0]]), jnp.array([1.0, 3.0, 5.0])))
    {'w': Array([2.], dtype=float32), 'b': Array(1.0, dtype=float32)}
    """
    if np.ndim(x) != 2 or np.shape(y) != np.shape(x)[:1]:
        raise ValueError(f"normal_equations: x must be (n, d) and y (n,), got {np.shape(x)} and {np.shape(y)}")
    on_host = is_concrete(x) and is_concrete(y)
    rounding = float(jnp.finfo(jnp.result_type(float, x) if isinstance(x, jax.Array) else np.result_type(x, 0.0)).eps)
    x, y = (np.asarray(v, float) if on_host else jnp.asarray(v, jnp.result_type(float, v)) for v in (x, y))
    # What the entries of a column may owe to rounding, as a length.
    noise = rounding * abs(x).max(axis=0) * len(x) ** 0.5
    (x, x_mean), (y, y_mean) = (_center(v) if bias else (v, 0 * v[0]) for v in (x, y))
    x, y, x_mean, y_mean, noise = (jnp.asarray(v, jnp.result_type(float, v)) for v in (x, y, x_mean, y_mean, noise))
    w = _solve(x, y, len(x) * jnp.asarray(penalty, x.dtype), noise)
    return {"w": w, "b": y_mean - w @ x_mean}


def _center(v: Any) -> tuple[Any, Any]:
    """(v less its mean, the mean); a constant column becomes exactly 0."""
    offsets = v - v[0]
    shift = offsets.mean(axis=0)
    return offsets - shift, v[0] + shift


def _factor(a: jax.Array, ridge: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Q, R and the lengths of the columns of a over sqrt(ridge) I."""
    stacked = jnp.concatenate([a, jnp.sqrt(ridge) * jnp.eye(a.shape[1], dtype=a.dtype)])
    most = jnp.max(jnp.abs(stacked), axis=0)
    most = jnp.where(most > 0, most, 1)  # no square overflows
    length = most * jnp.linalg.norm(stacked / most, axis=0)
    length = jnp.where(length > 0, length, 1)
    q, r = jnp.linalg.qr(stacked / length)
    return q[: len(a)], r, length


@jax.custom_jvp
def _solve(a: jax.Array, y: jax.Array, ridge: jax.Array, noise: jax.Array) -> jax.Array:
    """The solution w of (A'A + ridge I) w = A'y; NaN if a column of A depends on others, up to noise of this length."""
    q, r, length = _factor(a, ridge)
    own = jnp.abs(jnp.diagonal(r))  # the part of each column that is orthogonal to those before it
    dependent = own <= 4 * (a.shape[1] * jnp.finfo(a.dtype).eps + noise / length)
    w = jax.scipy.linalg.solve_triangular(r, q.T @ y) / length
    return jnp.where(jnp.any(dependent), jnp.nan, w)


@_solve.defjvp
def _solve_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    """The derivative of the normal equations: (A'A + ridge I) dw = dA'(y - A w) + A'(dy - dA w) - dridge w."""
    (a, y, ridge, _), (da, dy, dridge, _) = primals, tangents
    w = _solve(*primals)
    right = da.T @ (y - a @ w) + a.T @ (dy - da @ w) - dridge * w
    _, r, length = _factor(a, ridge)
    half = jax.scipy.linalg.solve_triangular(r, right / length, trans=1)
    return w, jax.scipy.linalg.solve_triangular(r, half) / length
