"""Adam with the infinity norm as second moment, with and without decoupled decay."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adam import adam, adamw
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import ScalarOrSchedule

_MOMENTS = {"learning_rate": "[0, inf)", "b1": "[0, 1)", "b2": "[0, 1)", "eps": "[0, inf)"}


@optimizer(bounds=_MOMENTS, like=adam)
def adamax(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-8,
):
    """Adamax: Adam with the largest of the recent gradients in place of their root mean square.

        mu <- b1 mu + (1 - b1) g        nu <- max(b2 nu, |g| + eps)
        u = -learning_rate mu_hat / nu,     mu_hat = mu/(1 - b1^t)

    Args: as `adam`, and
        eps: >= 0, gradient units; added to every |g|.

    Memory: 2 x params.   Raises: ValueError if b1 or b2 is outside [0, 1).
    Reference: Kingma & Ba 2015, Algorithm 2, arXiv:1412.6980.

    >>> opt, x, g = gd.adamax(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.1 0.1]
    """
    return _adamax(learning_rate, b1, b2, eps)


@optimizer(static=("mask",), bounds={**_MOMENTS, "weight_decay": "[0, inf)"}, like=adamw)
def adamaxw(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: Any = None,
):
    """AdamaxW: Adamax with decay of the parameters themselves.

        u = -learning_rate (mu_hat / nu + weight_decay p)                                          mu_hat, nu as `adamax`

    Args: as `adamw`.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Reference: Kingma & Ba 2015, Algorithm 2, arXiv:1412.6980; Loshchilov & Hutter 2019, arXiv:1711.05101.

    >>> opt, x, g = gd.adamaxw(0.1, weight_decay=0.01), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.101 0.099]
    """
    return _adamax(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=mask)


def _adamax(learning_rate, b1, b2, eps, **decay):
    slots: dict[str, Any] = {"mu": Slot(), "nu": Slot(real=True)}
    return leafwise(adamax_rule, learning_rate, slots=slots, b1=b1, b2=b2, eps=eps, **decay)


def adamax_rule(g: Array, t: Array, mu: Array, nu: Array, *, b1: Array, b2: Array, eps: Array) -> Direction:
    mu = b1 * mu + (1 - b1) * g
    nu = jnp.maximum(b2 * nu, jnp.abs(g) + eps)
    positive = nu > 0
    return jnp.where(positive, mu / (1 - b1**t) / jnp.where(positive, nu, 1), 0), {"mu": mu, "nu": nu}
