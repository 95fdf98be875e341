"""Adam without division until the variance of the second moment is small enough."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adabelief import first_hat
from gdjax.optimizers.first_order.adam import adam
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import ScalarOrSchedule

_MOMENTS = {"learning_rate": "[0, inf)", "b1": "[0, 1)", "b2": "[0, 1)", "eps": "[0, inf)"}


_ROOT = {**_MOMENTS, "eps_root": "[0, inf)"}


@optimizer(static=("nesterov",), bounds={**_ROOT, "threshold": "[4, inf)"}, like=adam)
def radam(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
    threshold: ScalarOrSchedule = 5.0,
    *,
    nesterov: bool = False,
):
    """RAdam: momentum first, Adam as soon as its second moment has seen enough to be trusted.

        rho = rho_inf - 2 t b2^t/(1 - b2^t),   rho_inf = 2/(1 - b2) - 1
        r = sqrt((rho - 4)(rho - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho))
        u = -learning_rate r mu_hat / (sqrt(nu_hat + eps_root) + eps)  if rho >= threshold,  else  -learning_rate mu_hat

    with mu_hat and nu_hat as `adam`. At b2 = 0.999 the change comes at the sixth step.

    Args: as `adam`, and
        threshold: at least 4, the length of the average from which its variance is defined well enough.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Reference: Liu et al. 2020, Algorithm 2, arXiv:1908.03265.

    >>> opt, x, g = gd.radam(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [-0.1 0.2]
    """
    slots: dict[str, Any] = {"mu": Slot(), "nu": Slot(real=True)}
    options: dict[str, Any] = {
        "b1": b1,
        "b2": b2,
        "eps": eps,
        "eps_root": eps_root,
        "threshold": threshold,
        "nesterov": nesterov,
    }
    return leafwise(radam_rule, learning_rate, slots=slots, **options)


def radam_rule(
    g: Array,
    t: Array,
    mu: Array,
    nu: Array,
    *,
    b1: Array,
    b2: Array,
    eps: Array,
    eps_root: Array,
    threshold: Array,
    nesterov: bool,
) -> Direction:
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * abs_sq(g)
    mu_hat, nu_hat = first_hat(g, t, mu, b1, nesterov), nu / (1 - b2**t)
    longest = 2 / (1 - b2) - 1
    rho = longest - 2 * t * b2**t / (1 - b2**t)
    trusted = rho >= threshold
    safe = jnp.where(trusted, rho, threshold)  # the root is real from 4 on
    r = jnp.sqrt((safe - 4) * (safe - 2) * longest / ((longest - 4) * (longest - 2) * safe))
    adaptive = r * mu_hat / (jnp.sqrt(nu_hat + eps_root) + eps)
    return jnp.where(trusted, adaptive, mu_hat), {"mu": mu, "nu": nu}
