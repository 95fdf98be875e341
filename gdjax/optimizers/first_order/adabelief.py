"""Adam with the variance of the gradient around its mean as second moment."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adam import adam
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import ScalarOrSchedule

_MOMENTS = {"learning_rate": "[0, inf)", "b1": "[0, 1)", "b2": "[0, 1)", "eps": "[0, inf)"}


_ROOT = {**_MOMENTS, "eps_root": "[0, inf)"}


def first_hat(g: Array, t: Array, mu: Array, b1: Array, nesterov: bool) -> Array:
    """The first moment without bias; one step ahead if nesterov."""
    if nesterov:
        return b1 * mu / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
    return mu / (1 - b1**t)


@optimizer(static=("nesterov",), bounds=_ROOT, like=adam)
def adabelief(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-16,
    eps_root: ScalarOrSchedule = 1e-16,
    *,
    nesterov: bool = False,
):
    """AdaBelief: long steps where the gradient is as expected, short ones where it surprises.

        mu <- b1 mu + (1 - b1) g        nu <- b2 nu + (1 - b2) (g - mu)² + eps_root
        u = -learning_rate mu_hat / (sqrt(nu_hat) + eps)                                       mu_hat, nu_hat as `adam`

    Args: as `adam`, and
        eps_root: >= 0, gradient units squared; added to nu at every step and so accumulates, as in the paper.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Reference: Zhuang et al. 2020, Algorithm 2, arXiv:2010.07468.

    >>> opt, x, g = gd.adabelief(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.11111 0.11111]
    """
    slots: dict[str, Any] = {"mu": Slot(), "nu": Slot(real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "nesterov": nesterov}
    return leafwise(adabelief_rule, learning_rate, slots=slots, **options)


def adabelief_rule(
    g: Array, t: Array, mu: Array, nu: Array, *, b1: Array, b2: Array, eps: Array, eps_root: Array, nesterov: bool
) -> Direction:
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * abs_sq(g - mu) + eps_root
    return first_hat(g, t, mu, b1, nesterov) / (jnp.sqrt(nu / (1 - b2**t)) + eps), {"mu": mu, "nu": nu}
