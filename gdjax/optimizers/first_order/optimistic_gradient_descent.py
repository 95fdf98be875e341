"""Descent on an extrapolated gradient: its last change is added once more."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import ScalarOrSchedule


@optimizer(bounds={"learning_rate": "[0, inf)"})
def optimistic_gradient_descent(
    learning_rate: ScalarOrSchedule, alpha: ScalarOrSchedule = 1.0, beta: ScalarOrSchedule = 1.0
):
    """Optimistic descent: the gradient, and once more what it has changed by.

        u = -learning_rate ((alpha + beta) g - beta previous_gradient)              previous_gradient = g at the first step

    It converges where descent-ascent circles, in two-player games.

    Args:
        learning_rate: parameter units per gradient unit; number, array or schedule.
        alpha: the weight of the gradient; number or schedule.
        beta: the weight of its change; number or schedule.

    Memory: 1 x params.   Raises: ValueError if learning_rate is negative.
    Reference: Mokhtari, Ozdaglar & Pattathil 2020, section 3, arXiv:1901.08511.

    >>> opt, x, g = gd.optimistic_gradient_descent(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> updates, state = opt.update(g, opt.init(x), x)
    >>> print(opt.update(2 * g, state, x + updates)[0])
    [-0.3 0.6]
    """
    slots: dict[str, Any] = {"previous_gradient": Slot()}
    return leafwise(optimistic_gradient_descent_rule, learning_rate, slots=slots, alpha=alpha, beta=beta)


def optimistic_gradient_descent_rule(
    g: Array, t: Array, previous_gradient: Array, *, alpha: Array, beta: Array
) -> Direction:
    before = jnp.where(t == 1, g, previous_gradient)
    return (alpha + beta) * g - beta * before, {"previous_gradient": g}
