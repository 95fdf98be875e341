"""Gradient flow: descent by infinitesimal steps, dp/dt = -∇f(p), which every small enough rate follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.experimental.ode import odeint

from gdjax import tree
from gdjax.types import Params

SHARE = 1e-6  # of the way to a minimum: below it an entry counts as zero when errors are compared with it


def gradient_flow(
    f: Callable[..., jax.Array], params: Params, times: Any, args: tuple[Any, ...] = (), rtol: float = 1e-6
) -> Params:
    """The path of steepest descent, integrated: where a ball that cannot roll on by itself is at each time.

    Descent at a small rate r stands after t/r steps near this path at time t: it is Euler's method for it.

    Args:
        f: (params, *args) -> (), real.
        params: the start, any pytree of floating arrays.
        times: (n,), increasing; the first is that of the start.
        rtol: error of each step of the integration, relative to each entry, or to a hundredth of it at the start; one that
            starts at zero is measured by a millionth of its way to the minimum along the gradient.

    Returns: the parameters at those times, (n, ...) each.
    Raises: ValueError for times that do not increase.
    Reference: Dormand & Prince 1980 (by `jax.experimental.ode.odeint`, adaptive).
    """
    times = _increasing(times)
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float, x)), params)

    def downhill(params):
        return jax.tree.map(jnp.negative, tree.ascent(jax.grad(f)(params, *args)))

    scale = jax.lax.stop_gradient(_scale(downhill, params, times[-1] - times[0]))

    def scaled_downhill(scaled, time):
        slope = downhill(jax.tree.map(jnp.multiply, scaled, scale))
        return jax.tree.map(jnp.divide, slope, scale)

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
    """What each entry's error is small beside: its size, or a share of the way to the minimum along the gradient."""
    slope, change = jax.jvp(downhill, (params,), (downhill(params),))
    size, curved = tree.global_norm(slope), tree.global_norm(change)
    reach = jnp.minimum(duration, size / jnp.where(curved > 0, curved, 1) + jnp.where(curved > 0, 0, jnp.inf))
    scale = jax.tree.map(lambda p, s: jnp.maximum(jnp.abs(p), SHARE * reach * jnp.abs(s)), params, slope)
    largest = jnp.max(jnp.stack([jnp.max(leaf, initial=0) for leaf in jax.tree.leaves(scale)]))
    other = jnp.where(largest > 0, largest, 1)
    return jax.tree.map(lambda s: jnp.where(s > 0, s, other.astype(s.dtype)), scale)
