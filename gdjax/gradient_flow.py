"""Gradient flow: descent by infinitesimal steps, dp/dt = -∇f(p), which every small enough rate follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.ode import odeint

from gdjax import tree
from gdjax.types import Params


def gradient_flow(
    f: Callable[..., jax.Array], params: Params, times: Any, args: tuple = (), rtol: float = 1e-6
) -> Params:
    """The path of steepest descent, integrated: where a ball that cannot roll on by itself is at each time.

    Descent at a small rate r stands after t/r steps near this path at time t: it is Euler's method for it.

    Args:
        f: (params, *args) -> (), real.
        params: the start, any pytree of floating arrays.
        times: (n,), increasing; the first is that of the start.
        rtol: relative error of each step of the integration.

    Returns: the parameters at those times, (n, ...) each.
    Reference: Dormand & Prince 1980 (by `jax.experimental.ode.odeint`, adaptive).
    """
    times = jnp.asarray(times, float)
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float, x)), params)

    def downhill(params, time):
        return jax.tree.map(jnp.negative, tree.ascent(jax.grad(f)(params, *args)))

    return odeint(downhill, params, times, rtol=rtol, atol=1e-2 * rtol)
