"""Adam with another second moment: its maximum, its infinity norm, its surprise, or none until it can be trusted."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gdjax.calls.node import optimizer
from gdjax.optimizers.leafwise import Slot, leafwise
from gdjax.tree import abs_sq

_MOMENTS = {"learning_rate": "[0, inf)", "b1": "[0, 1)", "b2": "[0, 1)", "eps": "[0, inf)"}
_ROOT = {**_MOMENTS, "eps_root": "[0, inf)"}


def _first_hat(g, t, mu, b1, nesterov):
    """The first moment without bias; one step ahead if nesterov."""
    if nesterov:
        return b1 * mu / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
    return mu / (1 - b1**t)


@optimizer(static=("mu_dtype", "bias_correction_mu", "bias_correction_nu"), bounds=_ROOT)
def amsgrad(
    learning_rate,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    eps_root=0.0,
    mu_dtype: Any = None,
    bias_correction_mu=True,
    bias_correction_nu=True,
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
    """
    slots: dict[str, Any] = {"mu": Slot(dtype=mu_dtype), "nu": Slot(real=True), "nu_max": Slot(real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}
    flags: dict[str, Any] = {"bias_correction_mu": bias_correction_mu, "bias_correction_nu": bias_correction_nu}
    return leafwise(amsgrad_rule, learning_rate, slots=slots, **options, **flags)


def amsgrad_rule(g, t, mu, nu, nu_max, *, b1, b2, eps, eps_root, bias_correction_mu, bias_correction_nu):
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * abs_sq(g)
    mu_hat = mu / (1 - b1**t) if bias_correction_mu else mu
    nu_max = jnp.maximum(nu_max, nu / (1 - b2**t) if bias_correction_nu else nu)
    return mu_hat / (jnp.sqrt(nu_max + eps_root) + eps), {"mu": mu, "nu": nu, "nu_max": nu_max}


@optimizer(bounds=_MOMENTS)
def adamax(learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """Adamax: Adam with the largest of the recent gradients in place of their root mean square.

        mu <- b1 mu + (1 - b1) g        nu <- max(b2 nu, |g| + eps)
        u = -learning_rate mu_hat / nu,     mu_hat = mu/(1 - b1^t)

    Args: as `adam`; eps is added to every |g|.

    Memory: 2 x params.   Raises: ValueError if b1 or b2 is outside [0, 1).
    Reference: Kingma & Ba 2015, Algorithm 2, arXiv:1412.6980.
    """
    return _adamax(learning_rate, b1, b2, eps)


@optimizer(static=("mask",), bounds={**_MOMENTS, "weight_decay": "[0, inf)"})
def adamaxw(learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-4, mask: Any = None):
    """AdamaxW: Adamax with decay of the parameters themselves.

        u = -learning_rate (mu_hat / nu + weight_decay p)                                          mu_hat, nu as `adamax`

    Args: as `adamw`.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Reference: Kingma & Ba 2015, Algorithm 2, arXiv:1412.6980; Loshchilov & Hutter 2019, arXiv:1711.05101.
    """
    return _adamax(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=mask)


def _adamax(learning_rate, b1, b2, eps, **decay):
    slots: dict[str, Any] = {"mu": Slot(), "nu": Slot(real=True)}
    return leafwise(adamax_rule, learning_rate, slots=slots, b1=b1, b2=b2, eps=eps, **decay)


def adamax_rule(g, t, mu, nu, *, b1, b2, eps):
    mu = b1 * mu + (1 - b1) * g
    nu = jnp.maximum(b2 * nu, jnp.abs(g) + eps)
    seen = nu > 0
    return jnp.where(seen, mu / (1 - b1**t) / jnp.where(seen, nu, 1), 0), {"mu": mu, "nu": nu}


@optimizer(static=("nesterov",), bounds=_ROOT)
def adabelief(learning_rate, b1=0.9, b2=0.999, eps=1e-16, eps_root=1e-16, *, nesterov=False):
    """AdaBelief: long steps where the gradient is as expected, short ones where it surprises.

        mu <- b1 mu + (1 - b1) g        nu <- b2 nu + (1 - b2) (g - mu)² + eps_root
        u = -learning_rate mu_hat / (sqrt(nu_hat) + eps)                                       mu_hat, nu_hat as `adam`

    Args: as `adam`; eps_root is added to the moment at every step and so accumulates, as in the paper.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Reference: Zhuang et al. 2020, Algorithm 2, arXiv:2010.07468.
    """
    slots: dict[str, Any] = {"mu": Slot(), "nu": Slot(real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "nesterov": nesterov}
    return leafwise(adabelief_rule, learning_rate, slots=slots, **options)


def adabelief_rule(g, t, mu, nu, *, b1, b2, eps, eps_root, nesterov):
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * abs_sq(g - mu) + eps_root
    return _first_hat(g, t, mu, b1, nesterov) / (jnp.sqrt(nu / (1 - b2**t)) + eps), {"mu": mu, "nu": nu}


@optimizer(bounds=_MOMENTS)
def yogi(learning_rate, b1=0.9, b2=0.999, eps=1e-3):
    """Yogi: Adam whose second moment moves by steps of the squared gradient, not by its distance from it.

        mu <- b1 mu + (1 - b1) g        nu <- nu - (1 - b2) sign(nu - g²) g²                  both start at 1e-6
        u = -learning_rate mu_hat / (sqrt(nu_hat) + eps)                                       mu_hat, nu_hat as `adam`

    So the rate of a coordinate whose gradients become small rises slowly.

    Args: as `adam`.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Differs from: the paper, whose moments are not corrected (Optax's are); at a zero first gradient the first moment's
        start moves the parameters by 0.9e-3 of the rate.
    Reference: Zaheer et al. 2018, Algorithm 2, papers.nips.cc/paper/8186.
    """
    slots: dict[str, Any] = {"mu": Slot(YOGI_START), "nu": Slot(YOGI_START, real=True)}
    return leafwise(yogi_rule, learning_rate, slots=slots, b1=b1, b2=b2, eps=eps)


YOGI_START = 1e-6


def yogi_rule(g, t, mu, nu, *, b1, b2, eps):
    squared = abs_sq(g)
    mu = b1 * mu + (1 - b1) * g
    nu = nu - (1 - b2) * jnp.sign(nu - squared) * squared
    return mu / (1 - b1**t) / (jnp.sqrt(nu / (1 - b2**t)) + eps), {"mu": mu, "nu": nu}


@optimizer(static=("nesterov",), bounds={**_ROOT, "threshold": "[4, inf)"})
def radam(learning_rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, threshold=5.0, *, nesterov=False):
    """RAdam: momentum first, Adam as soon as its second moment has seen enough to be trusted.

        rho = rho_inf - 2 t b2^t/(1 - b2^t),   rho_inf = 2/(1 - b2) - 1
        r = sqrt((rho - 4)(rho - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho))
        u = -learning_rate r mu_hat / (sqrt(nu_hat + eps_root) + eps)  if rho >= threshold,  else  -learning_rate mu_hat

    with mu_hat and nu_hat as `adam`. At b2 = 0.999 the change comes at the sixth step.

    Args: as `adam`, and
        threshold: at least 4, the length of the average from which its variance is defined well enough.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Reference: Liu et al. 2020, Algorithm 2, arXiv:1908.03265.
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


def radam_rule(g, t, mu, nu, *, b1, b2, eps, eps_root, threshold, nesterov):
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * abs_sq(g)
    mu_hat, nu_hat = _first_hat(g, t, mu, b1, nesterov), nu / (1 - b2**t)
    longest = 2 / (1 - b2) - 1
    rho = longest - 2 * t * b2**t / (1 - b2**t)
    trusted = rho >= threshold
    safe = jnp.where(trusted, rho, threshold)  # the root is real from 4 on
    r = jnp.sqrt((safe - 4) * (safe - 2) * longest / ((longest - 4) * (longest - 2) * safe))
    adaptive = r * mu_hat / (jnp.sqrt(nu_hat + eps_root) + eps)
    return jnp.where(trusted, adaptive, mu_hat), {"mu": mu, "nu": nu}
