"""Dual averaging with a cube root: momentum on the weighted sum of all gradients."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}


_DECAY = {"weight_decay": "[0, inf)"}


@optimizer(bounds={**_RATE, **_DECAY, "momentum": "[0, 1)"})
def madgrad(
    learning_rate: ScalarOrSchedule,
    momentum: ScalarOrSchedule = 0.9,
    weight_decay: ScalarOrSchedule = 0.0,
    eps: ScalarOrSchedule = 1e-6,
):
    """MADGRAD: dual averaging from the start, scaled by the cube root of the sum of squares.

        g <- g + weight_decay p,      lamb = (learning_rate + eps) sqrt(t)
        grad_sum_sq <- grad_sum_sq + lamb g²      s <- s + lamb g
        z = x0 - s / (cbrt(grad_sum_sq) + eps),   u = (1 - momentum) (z - p)

    Args:
        learning_rate: parameter units per step, about; number, array or schedule.
        momentum: in [0, 1); how far p stays behind z.
        weight_decay: >= 0, coupled: added to the gradient.
        eps: >= 0.

    Memory: 3 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax, which has no complex parameters and takes sqrt(t) in float32 even in double precision.
    Reference: Defazio & Jelassi 2021, Algorithm 1, arXiv:2101.11075.

    >>> opt, x, g = gd.madgrad(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.021544 0.027144]
    """
    slots: dict[str, Any] = {"grad_sum_sq": Slot(real=True), "s": Slot(), "x0": Slot(lambda p: p)}
    options: dict[str, Any] = {"momentum": momentum, "weight_decay": weight_decay, "eps": eps}
    return leafwise(madgrad_rule, learning_rate, slots=slots, returns="step", **options)


def madgrad_rule(
    g: Array,
    p: Array,
    t: Array,
    grad_sum_sq: Array,
    s: Array,
    x0: Array,
    *,
    learning_rate: Array,
    momentum: Array,
    weight_decay: Array,
    eps: Array,
) -> Direction:
    g = g + weight_decay * p
    lamb = (learning_rate + eps) * jnp.sqrt(t)
    grad_sum_sq, s = grad_sum_sq + lamb * abs_sq(g), s + lamb * g
    scale = jnp.cbrt(grad_sum_sq) + eps
    positive = scale > 0
    z = x0 - jnp.where(positive, s / jnp.where(positive, scale, 1), 0)
    return (1 - momentum) * (p - z), {"grad_sum_sq": grad_sum_sq, "s": s, "x0": x0}
