"""Functions shared by the methods for sums of squares: the residuals linearized at a point."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax.optimizers.second_order.secant import prepare
from gdjax.vector import dot, flat_dtype, ravel, unravel


def linearize(residuals: Any, params: Any, dtype: Any) -> tuple[jax.Array, jax.Array, Any]:
    """The residuals (k,), their Jacobian (k, n), and the residuals as a function of the parameters' vector (n,)."""
    p = ravel(params, dtype)

    def function(x):
        return ravel(residuals(unravel(x, params)), dtype)

    r = function(p)
    jacobian = (jax.jacfwd if p.size <= 2 * r.size else jax.jacrev)(function)(p)
    return r, jacobian, function


class Model(NamedTuple):
    """The linearized residuals, r + J d, in units z = scale d in which the columns of J have norm at most 1."""

    triangle: jax.Array  # (m, n), of the QR factors of J / scale, m = min(k, n)
    projection: jax.Array  # (m,) the part of r that lies in the span of J

    @classmethod
    def of(cls, jacobian: jax.Array, r: jax.Array, scale: jax.Array) -> Model:
        q, triangle = jnp.linalg.qr(jacobian / scale)
        return cls(triangle, dot(r, q))

    def step(self, damping: jax.Array) -> jax.Array:
        """The z of least |r + J z|² + damping |z|²; by QR once more, for J'J would square the condition."""
        n = self.triangle.shape[1]
        q, triangle = jnp.linalg.qr(
            jnp.concatenate([self.triangle, jnp.sqrt(damping) * jnp.eye(n, dtype=self.projection.dtype)])
        )
        rhs = dot(jnp.concatenate([self.projection, jnp.zeros(n, self.projection.dtype)]), q)
        return -jax.scipy.linalg.solve_triangular(triangle, rhs)

    def whole_step(self) -> jax.Array:
        """The undamped z; not finite where J has not full rank."""
        if self.triangle.shape[0] < self.triangle.shape[1]:
            return jnp.full(self.triangle.shape[1], jnp.inf, self.projection.dtype)
        return -jax.scipy.linalg.solve_triangular(self.triangle, self.projection)


def adapt(
    damping: jax.Array, growth: jax.Array, decrease: jax.Array, promised: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Nielsen's rule: whether a step is taken, and the damping of the next and its growth, should that be refused."""
    good, limits = (decrease > 0) & (promised > 0), jnp.finfo(damping.dtype)
    factor = jnp.where(good, jnp.maximum(1 / 3, 1 - (2 * decrease / promised - 1) ** 3), growth)
    next_growth = jnp.where(good, 2, jnp.minimum(2 * growth, 2.0**20)).astype(damping.dtype)
    return good, jnp.clip(damping * factor, limits.tiny, limits.max**0.5).astype(damping.dtype), next_growth


def is_nothing(step: jax.Array, at: jax.Array) -> jax.Array:
    """Whether the norm of a step is at most sqrt(eps) times that of the parameters; false if it is not finite."""
    return jnp.linalg.norm(step) <= jnp.sqrt(jnp.finfo(step.dtype).eps) * jnp.linalg.norm(at)


def has_lost_parameters(jacobian: jax.Array, r: jax.Array, p: jax.Array, longest: jax.Array) -> jax.Array:
    """Whether a parameter that had influence has none: its column, and it times its column, are rounding.

    Args:
        longest: (n,) the largest norm of each column of J so far; where all are 0, no parameter ever had influence.
    """
    norms, eps = jnp.linalg.norm(jacobian, axis=0), jnp.finfo(r.dtype).eps
    gone = (norms <= eps * longest) & (norms * jnp.abs(p) <= eps * jnp.linalg.norm(r)) & (longest > 0)
    return jnp.any(gone) | (jnp.any(r != 0) & ~jnp.any(longest > 0))


def check(who: str, grads: Any, params: Any) -> Any:
    prepare(who, grads, params, None, {})
    return flat_dtype(params)
