"""Adam whose second moment changes by a bounded amount."""

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


@optimizer(bounds=_MOMENTS, like=adam)
def yogi(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-3,
):
    """Yogi: Adam whose second moment moves by steps of the squared gradient, not by its distance from it.

        mu <- b1 mu + (1 - b1) g        nu <- nu - (1 - b2) sign(nu - g²) g²                  both start at 1e-6
        u = -learning_rate mu_hat / (sqrt(nu_hat) + eps)                                       mu_hat, nu_hat as `adam`

    So the rate of a coordinate whose gradients become small rises slowly.

    Args: as `adam`.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Differs from: the paper, whose moments are not corrected (Optax's are); at a zero first gradient the first moment's
        start moves the parameters by 0.9e-3 of the rate.
    Reference: Zaheer et al. 2018, Algorithm 2, papers.nips.cc/paper/8186.

    >>> opt, x, g = gd.yogi(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.099851 0.099937]
    """
    slots: dict[str, Any] = {"mu": Slot(YOGI_START), "nu": Slot(YOGI_START, real=True)}
    return leafwise(yogi_rule, learning_rate, slots=slots, b1=b1, b2=b2, eps=eps)


YOGI_START = 1e-6


def yogi_rule(g: Array, t: Array, mu: Array, nu: Array, *, b1: Array, b2: Array, eps: Array) -> Direction:
    squared = abs_sq(g)
    mu = b1 * mu + (1 - b1) * g
    nu = nu - (1 - b2) * jnp.sign(nu - squared) * squared
    return mu / (1 - b1**t) / (jnp.sqrt(nu / (1 - b2**t)) + eps), {"mu": mu, "nu": nu}
