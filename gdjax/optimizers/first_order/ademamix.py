"""Adam with a second, much slower first moment."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adam import adamw
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import DTypeLike, ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}


_MOMENTS = {**_RATE, "b1": "[0, 1)", "b2": "[0, 1)"}


_ROOT = {**_MOMENTS, "eps_root": "[0, inf)"}


_DECAY = {"weight_decay": "[0, inf)"}


@optimizer(static=("mu_dtype", "mask"), bounds={**_ROOT, **_DECAY, "b3": "[0, 1)"}, like=adamw)
def ademamix(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    b3: ScalarOrSchedule = 0.9999,
    alpha: ScalarOrSchedule = 5.0,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
    mu_dtype: DTypeLike | None = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
):
    """AdEMAMix: Adam with a second, much slower mean of the gradient beside the first.

        m1 <- b1 m1 + (1 - b1) g       m2 <- b3 m2 + (1 - b3) g       nu <- b2 nu + (1 - b2) g²
        u = -learning_rate ((m1_hat + alpha m2) / (sqrt(nu_hat + eps_root) + eps) + weight_decay p)

    m1_hat and nu_hat are without bias as Adam's; m2 is left to fill slowly.

    Args: as `adamw`, and
        b3: in [0, 1), decay rate of the slow mean; number or schedule.
        alpha: the weight of the slow mean; number or schedule.

    Memory: 3 x params.   Raises: ValueError outside these ranges.
    Reference: Pagliardini, Ablin & Grangier 2024, Algorithm 1, arXiv:2409.03137.

    >>> opt, x, g = gd.ademamix(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.10005 0.10005]
    """
    slots: dict[str, Any] = {
        "m1": Slot(dtype=mu_dtype),
        "m2": Slot(dtype=mu_dtype),
        "nu": Slot(dtype=mu_dtype, real=True),
    }
    options: dict[str, Any] = {"b1": b1, "b2": b2, "b3": b3, "alpha": alpha, "eps": eps, "eps_root": eps_root}
    return leafwise(ademamix_rule, learning_rate, slots=slots, weight_decay=weight_decay, mask=mask, **options)


def ademamix_rule(
    g: Array,
    t: Array,
    m1: Array,
    m2: Array,
    nu: Array,
    *,
    b1: Array,
    b2: Array,
    b3: Array,
    alpha: Array,
    eps: Array,
    eps_root: Array,
) -> Direction:
    m1, m2 = b1 * m1 + (1 - b1) * g, b3 * m2 + (1 - b3) * g
    nu = b2 * nu + (1 - b2) * abs_sq(g)
    u = (m1 / (1 - b1**t) + alpha * m2) / (jnp.sqrt(nu / (1 - b2**t) + eps_root) + eps)
    return u, {"m1": m1, "m2": m2, "nu": nu}
