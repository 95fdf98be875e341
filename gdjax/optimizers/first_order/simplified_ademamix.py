"""AdEMAMix with one accumulator in place of two averages."""

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
def simplified_ademamix(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.99,
    b2: ScalarOrSchedule = 0.95,
    alpha: ScalarOrSchedule = 0.0,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
):
    """Simplified AdEMAMix: one slow sum of gradients, and the gradient beside it.

        m <- b1 m + g       n <- b2 n + (1 - b2) g²
        u = -learning_rate ((m + alpha g) / (sqrt(n_hat + eps_root) + eps) + weight_decay p),   n_hat = n/(1 - b2^t)

    The sum is not a mean: its steps are up to 1/(1 - b1) times Adam's, and the rate should be that much smaller.

    Args: `eps`, `eps_root`, `weight_decay` and `mask` as `adamw`, and
        learning_rate: parameter units per step; number, array or schedule.
        b1: in [0, 1), decay rate of the sum m.
        b2: in [0, 1), decay rate of the mean of the squares, n.
        alpha: the weight of the present gradient; number or schedule.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax at complex parameters, where it averages g² instead of |g|² and is silently wrong.
    Reference: Morwani et al. 2025, section 4, arXiv:2502.02431.

    >>> opt, x, g = gd.simplified_ademamix(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.1 0.1]
    """
    slots: dict[str, Any] = {"m": Slot(), "n": Slot(real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "alpha": alpha, "eps": eps, "eps_root": eps_root}
    return leafwise(
        simplified_ademamix_rule, learning_rate, slots=slots, weight_decay=weight_decay, mask=mask, **options
    )


def simplified_ademamix_rule(
    g: Array, t: Array, m: Array, n: Array, *, b1: Array, b2: Array, alpha: Array, eps: Array, eps_root: Array
) -> Direction:
    m, n = b1 * m + g, b2 * n + (1 - b2) * abs_sq(g)
    return (m + alpha * g) / (jnp.sqrt(n / (1 - b2**t) + eps_root) + eps), {"m": m, "n": n}
