"""Adam on a gradient whose variance is reduced with the previous gradient."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adam import adam_rule, adamw
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}


_MOMENTS = {**_RATE, "b1": "[0, 1)", "b2": "[0, 1)"}


_DECAY = {"weight_decay": "[0, inf)"}


@optimizer(static=("mask",), bounds={**_MOMENTS, **_DECAY, "gamma": "[0, inf)", "max_norm": "[0, inf)"}, like=adamw)
def mars(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.95,
    b2: ScalarOrSchedule = 0.99,
    eps: ScalarOrSchedule = 1e-8,
    gamma: ScalarOrSchedule = 0.025,
    max_norm: ScalarOrSchedule = 1.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
):
    """MARS: AdamW on gradients whose variance is reduced by what they have changed since the last step.

        c = g + gamma b1/(1 - b1) (g - previous_gradient)      (c = g at the first step)
        c <- c min(1, max_norm / |c|)                          norm of the leaf
        u = -learning_rate (mu_hat / (sqrt(nu_hat) + eps) + weight_decay p)           moments of c as `adam`

    This is the approximate form: the previous gradient is that of the previous batch, and costs nothing more.

    Args: as `adamw`, and
        gamma: >= 0, the share of the correction; 0 is AdamW with clipped gradients.
        max_norm: of a leaf's corrected gradient, gradient units.

    Memory: 3 x params.   Raises: ValueError outside these ranges.
    Reference: Yuan et al. 2024, Algorithm 2 (MARS-AdamW), arXiv:2411.10438.

    >>> opt, x, g = gd.mars(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [-0.1 0.1]
    """
    slots: dict[str, Any] = {"mu": Slot(), "nu": Slot(real=True), "previous_gradient": Slot()}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "gamma": gamma, "max_norm": max_norm}
    return leafwise(mars_rule, learning_rate, slots=slots, weight_decay=weight_decay, mask=mask, **options)


def mars_rule(
    g: Array,
    t: Array,
    mu: Array,
    nu: Array,
    previous_gradient: Array,
    *,
    b1: Array,
    b2: Array,
    eps: Array,
    gamma: Array,
    max_norm: Array,
) -> Direction:
    change = jnp.where(t == 1, 0, g - previous_gradient)
    c = g + gamma * b1 / (1 - b1) * change
    c = tree.shorten(c, max_norm)
    u, new = adam_rule(c, t, mu, nu, b1=b1, b2=b2, eps=eps, eps_root=0.0, nesterov=False)
    return u, {**new, "previous_gradient": g}
