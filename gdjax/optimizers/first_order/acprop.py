"""AdaBelief with the second moment of the step before."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adam import adamw
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}


_MOMENTS = {**_RATE, "b1": "[0, 1)", "b2": "[0, 1)"}


_ROOT = {**_MOMENTS, "eps_root": "[0, inf)"}


_DECAY = {"weight_decay": "[0, inf)"}


@optimizer(static=("mask",), bounds={**_ROOT, **_DECAY}, like=adamw)
def acprop(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-16,
    eps_root: ScalarOrSchedule = 1e-16,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
):
    """ACProp: the gradient divided by the spread of those before it about their mean.

        u = -learning_rate (g / (sqrt(nu_hat) + eps) + weight_decay p),   nu_hat = nu/(1 - b2^step)  (1 at step 0)
        then  mu_before = mu,  mu <- b1 mu + (1 - b1) g,   nu <- b2 nu + (1 - b2) (g - mu_before)² + eps_root

    Args: as `adamw`, and
        eps_root: >= 0, gradient units squared; added to nu at every step and so accumulates.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Reference: Zhuang et al. 2021, Algorithm 2, arXiv:2110.05454.

    >>> opt, x, g = gd.acprop(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.1 0.2]
    """
    slots: dict[str, Any] = {"mu": Slot(), "nu": Slot(real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}
    return leafwise(acprop_rule, learning_rate, slots=slots, weight_decay=weight_decay, mask=mask, **options)


def acprop_rule(
    g: Array, t: Array, mu: Array, nu: Array, *, b1: Array, b2: Array, eps: Array, eps_root: Array
) -> Direction:
    first = t == 1
    nu_hat = jnp.where(first, 1, nu / (1 - b2 ** jnp.where(first, 1, t - 1)))
    new = {"mu": b1 * mu + (1 - b1) * g, "nu": b2 * nu + (1 - b2) * abs_sq(g - mu) + eps_root}
    return g / (jnp.sqrt(nu_hat) + eps), new
