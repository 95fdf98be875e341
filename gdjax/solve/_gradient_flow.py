"""Gradient flow, dp/dt = -∇f(p): the limit of gradient descent for small learning rates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gdjax import tree
from gdjax.types import Params

SHARE = 1e-6  # share of the distance to a minimum below which an entry counts as zero in error tolerances


def gradient_flow(
    f: Callable[..., jax.Array], params: Params, times: Any, args: tuple[Any, ...] = (), rtol: float = 1e-6
) -> Params:
    """The path of steepest descent, dp/dt = -∇f(p), integrated numerically.

    Gradient descent with a small learning rate r is Euler's method for it: after t/r steps it is near the path at time t.

    Args:
        f: (params, *args) -> (), real.
        params: initial parameters, any pytree of floating arrays.
        times: (n,), increasing; the first is the initial time.
        rtol: relative error of each integration step, relative to an entry or to a hundredth of its initial value; for an
            entry that starts at zero, relative to a millionth of its distance to the minimum along the gradient.

    Returns: the parameters at those times, leaves (n, ...).
    Raises: ValueError for times that are not finite or do not increase.
    Reference: Dormand & Prince 1980 (by `jax.experimental.ode.odeint`, adaptive).

    >>> print(gd.gradient_flow(lambda x: x**2 / 2, 1.0, jnp.array([0.0, 1.0, 2.0])))
    [1. 0.36788 0.13534]
    """
    times = _increasing(times)
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float, x)), params)

    def downhill(params):
        return jax.tree.map(jnp.negative, tree.ascent(jax.grad(f)(params, *args)))

    scale = jax.lax.stop_gradient(_scale(downhill, params, times[-1] - times[0]))

    def scaled_downhill(scaled, time):
        slope = downhill(jax.tree.map(jnp.multiply, scaled, scale))
        return jax.tree.map(jnp.divide, slope, scale)

    from jax.experimental.ode import odeint  # rarely used, and 1 ms of the import

    path = odeint(scaled_downhill, jax.tree.map(jnp.divide, params, scale), times, rtol=rtol, atol=1e-2 * rtol)
    return jax.tree.map(jnp.multiply, path, scale)


def _increasing(times: Any) -> jax.Array:
    """The times as an array."""
    if not isinstance(times, Tracer):
        known = np.asarray(times, float)
        if known.ndim != 1 or not known.size or not np.isfinite(known).all() or (np.diff(known) <= 0).any():
            raise ValueError(f"gradient_flow: times must be finite and increase, got {known}")
    return jnp.asarray(times, float)


def _scale(downhill: Callable[..., Any], params: Params, duration: jax.Array) -> Params:
    """The scale of each entry's error: its size, or a share of its distance to the minimum along the gradient."""
    slope, change = jax.jvp(downhill, (params,), (downhill(params),))
    size, curved = tree.global_norm(slope), tree.global_norm(change)
    reach = jnp.minimum(duration, size / jnp.where(curved > 0, curved, 1) + jnp.where(curved > 0, 0, jnp.inf))
    scale = jax.tree.map(lambda p, s: jnp.maximum(jnp.abs(p), SHARE * reach * jnp.abs(s)), params, slope)
    largest = jnp.max(jnp.stack([jnp.max(leaf, initial=0) for leaf in jax.tree.leaves(scale)]))
    other = jnp.where(largest > 0, largest, 1)
    return jax.tree.map(lambda s: jnp.where(s > 0, s, other.astype(s.dtype)), scale)
