"""Adam without eps: the ratio of the moments is replaced by an arc tangent."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adam import adamw
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import ScalarOrSchedule


@optimizer(
    static=("mask",),
    bounds={"learning_rate": "[0, inf)", "b1": "[0, 1)", "b2": "[0, 1)", "weight_decay": "[0, inf)"},
    like=adamw,
)
def adam_atan2(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    a: ScalarOrSchedule = 1.27,
    b: ScalarOrSchedule = 1.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
):
    """Adam without eps: the quotient of the moments taken as an angle, so that no scale of the gradient is special.

        u = -learning_rate (a atan2(mu_hat, b sqrt(nu_hat)) + weight_decay p)                 mu_hat, nu_hat as `adam`

    Where |mu_hat| is small beside sqrt(nu_hat) this is a/b times Adam; it never exceeds a pi/2. Multiplying the loss by a
    constant changes nothing, to the last digit short of overflow.

    Args: `b1`, `b2`, `weight_decay` and `mask` as `adamw`, and
        learning_rate: parameter units per step; number, array or schedule.
        a: factor of the angle; 1.27 makes atan(1) about 1.
        b: > 0, how soon the angle saturates.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Reference: Everett et al. 2024, section 5, arXiv:2407.05872.

    >>> opt, x, g = gd.adam_atan2(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.099746 0.099746]
    """
    slots: dict[str, Any] = {"mu": Slot(), "nu": Slot(real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "a": a, "b": b, "weight_decay": weight_decay, "mask": mask}
    return leafwise(adam_atan2_rule, learning_rate, slots=slots, **options)


def adam_atan2_rule(g: Array, t: Array, mu: Array, nu: Array, *, b1: Array, b2: Array, a: Array, b: Array) -> Direction:
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * abs_sq(g)
    size = jnp.abs(mu) / (1 - b1**t)
    angle = jnp.arctan2(size, b * jnp.sqrt(nu / (1 - b2**t)))
    return a * angle * jnp.sign(mu), {"mu": mu, "nu": nu}
