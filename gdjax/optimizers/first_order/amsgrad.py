"""Adam whose second moment never decreases."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adam import adam
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import DTypeLike, ScalarOrSchedule

_MOMENTS = {"learning_rate": "[0, inf)", "b1": "[0, 1)", "b2": "[0, 1)", "eps": "[0, inf)"}


_ROOT = {**_MOMENTS, "eps_root": "[0, inf)"}


@optimizer(static=("mu_dtype", "bias_correction_mu", "bias_correction_nu"), bounds=_ROOT, like=adam)
def amsgrad(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
    mu_dtype: DTypeLike | None = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
):
    """AMSGrad: Adam whose second moment never falls, so that no rate ever rises.

        mu <- b1 mu + (1 - b1) g        nu <- b2 nu + (1 - b2) g²        nu_max <- max(nu_max, nu_hat)
        u = -learning_rate mu_hat / (sqrt(nu_max + eps_root) + eps)                            mu_hat, nu_hat as `adam`

    Args: as `adam`, and
        bias_correction_mu: False takes mu for mu_hat, as the paper does.
        bias_correction_nu: False takes nu for nu_hat, as the paper does.

    Memory: 3 x params.   Raises: ValueError outside these ranges.
    Differs from: torch.optim.Adam(amsgrad=True), which corrects the maximum of the raw moments.
    Reference: Reddi, Kale & Kumar 2018, Algorithm 2, arXiv:1904.09237.

    >>> opt, x, g = gd.amsgrad(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.1 0.1]
    """
    slots: dict[str, Any] = {"mu": Slot(dtype=mu_dtype), "nu": Slot(real=True), "nu_max": Slot(real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}
    flags: dict[str, Any] = {"bias_correction_mu": bias_correction_mu, "bias_correction_nu": bias_correction_nu}
    return leafwise(amsgrad_rule, learning_rate, slots=slots, **options, **flags)


def amsgrad_rule(
    g: Array,
    t: Array,
    mu: Array,
    nu: Array,
    nu_max: Array,
    *,
    b1: Array,
    b2: Array,
    eps: Array,
    eps_root: Array,
    bias_correction_mu: bool,
    bias_correction_nu: bool,
) -> Direction:
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * abs_sq(g)
    mu_hat = mu / (1 - b1**t) if bias_correction_mu else mu
    nu_max = jnp.maximum(nu_max, nu / (1 - b2**t) if bias_correction_nu else nu)
    return mu_hat / (jnp.sqrt(nu_max + eps_root) + eps), {"mu": mu, "nu": nu, "nu_max": nu_max}
