"""Adam and the variants that share its rule: decoupled decay (AdamW), Nesterov momentum (NAdam), and both."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import ArrayLike, DTypeLike, ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}


_ADAM = {**_RATE, "b1": "[0, 1)", "b2": "[0, 1)", "eps_root": "[0, inf)"}


def adam_rule(
    g: Array, t: Array, mu: Array, nu: Array, *, b1: Array, b2: Array, eps: Array, eps_root: ArrayLike, nesterov: bool
) -> Direction:
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * abs_sq(g)
    mu_hat = mu / (1 - b1**t)
    if nesterov:
        mu_hat = b1 * mu / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
    nu_hat = nu / (1 - b2**t)
    return mu_hat / (jnp.sqrt(nu_hat + eps_root) + eps), {"mu": mu, "nu": nu}


def _adam(learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov, **decay):
    slots: dict[str, Any] = {"mu": Slot(dtype=mu_dtype), "nu": Slot(real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "nesterov": nesterov}
    return leafwise(adam_rule, learning_rate, slots=slots, **options, **decay)


@optimizer(static=("mu_dtype", "nesterov"), bounds=_ADAM)
def adam(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
    mu_dtype: DTypeLike | None = None,
    *,
    nesterov: bool = False,
):
    """Adam: steps scaled by bias-corrected running moments of the gradient.

        mu <- b1 mu + (1 - b1) g        nu <- b2 nu + (1 - b2) g²
        u = -learning_rate mu_hat / (sqrt(nu_hat + eps_root) + eps),   mu_hat = mu/(1 - b1^t),  nu_hat = nu/(1 - b2^t)

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        b1: in [0, 1); memory of about 1/(1 - b1) steps.
        b2: in [0, 1); the same for the squares.
        eps: >= 0, gradient units; bounds the step where nu_hat is near 0.
        eps_root: >= 0, gradient units squared; keeps the root differentiable at 0 (for hypergradients).
        mu_dtype: dtype of the first moment (default: that of the parameter).
        nesterov: look one step ahead, mu_hat = b1 mu/(1 - b1^(t+1)) + (1 - b1) g/(1 - b1^t).

    Memory: 2 x params.   Raises: ValueError if b1 or b2 is outside [0, 1).
    Differs from: Tensorflow's, which puts eps before the bias correction.
    Reference: Kingma & Ba 2015, Algorithm 1, arXiv:1412.6980.

    >>> opt, x, g = gd.adam(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.1 0.1]
    """
    return _adam(learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov)


@optimizer(static=("mu_dtype", "nesterov"), bounds=_ADAM, like=adam)
def nadam(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
    mu_dtype: DTypeLike | None = None,
    *,
    nesterov: bool = True,
):
    """NAdam: Adam whose first moment looks one step ahead.

        mu <- b1 mu + (1 - b1) g        nu <- b2 nu + (1 - b2) g²
        mu_hat = b1 mu/(1 - b1^(t+1)) + (1 - b1) g/(1 - b1^t),   nu_hat = nu/(1 - b2^t)
        u = -learning_rate mu_hat / (sqrt(nu_hat + eps_root) + eps)

    Args: as `adam`.

    Memory: 2 x params.   Raises: ValueError if b1 or b2 is outside [0, 1).
    Differs from: torch.optim.NAdam, which also schedules b1 (momentum_decay).
    Reference: Dozat 2016, Algorithm 2, openreview.net/pdf?id=OM0jvwB8jIp57ZJjtNEZ.

    >>> opt, x, g = gd.nadam(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.14737 0.14737]
    """
    return _adam(learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov)


@optimizer(static=("mu_dtype", "mask", "nesterov"), bounds={**_ADAM, "weight_decay": "[0, inf)"}, like=adam)
def adamw(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
    mu_dtype: DTypeLike | None = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: Any = None,
    *,
    nesterov: bool = False,
):
    """AdamW: Adam with decay of the parameters themselves, outside the moments.

        u = -learning_rate (mu_hat / (sqrt(nu_hat + eps_root) + eps) + weight_decay p)          mu_hat, nu_hat as `adam`

    Args: as `adam`, and
        weight_decay: >= 0, per step and unit of learning rate; number, array or schedule.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Differs from: torch.optim.AdamW in its default decay, 1e-2.
    Reference: Loshchilov & Hutter 2019, Algorithm 2, arXiv:1711.05101.

    >>> opt, x, g = gd.adamw(0.1, weight_decay=0.01), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.101 0.099]
    """
    decay = {"weight_decay": weight_decay, "mask": mask}
    return _adam(learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov, **decay)


@optimizer(static=("mu_dtype", "mask", "nesterov"), bounds={**_ADAM, "weight_decay": "[0, inf)"}, like=adamw)
def nadamw(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
    mu_dtype: DTypeLike | None = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: Any = None,
    *,
    nesterov: bool = True,
):
    """NAdamW: NAdam with decay of the parameters themselves.

        u = -learning_rate (mu_hat / (sqrt(nu_hat + eps_root) + eps) + weight_decay p)         mu_hat, nu_hat as `nadam`

    Args: as `adamw`.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Reference: Dozat 2016; Loshchilov & Hutter 2019, arXiv:1711.05101.

    >>> opt, x, g = gd.nadamw(0.1, weight_decay=0.01), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.14837 0.14637]
    """
    decay = {"weight_decay": weight_decay, "mask": mask}
    return _adam(learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov, **decay)
