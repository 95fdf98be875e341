"""A rate for each coordinate: descent divided by the root of all squared gradients so far."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}


@optimizer(bounds={**_RATE, "initial_accumulator_value": "[0, inf)"})
def adagrad(
    learning_rate: ScalarOrSchedule, initial_accumulator_value: ScalarOrSchedule = 0.1, eps: ScalarOrSchedule = 1e-7
):
    """Adagrad: each coordinate's rate falls with all it has seen.

        sum_of_squares <- sum_of_squares + g²,     u = -learning_rate g / sqrt(sum_of_squares + eps)

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        initial_accumulator_value: >= 0, gradient units squared.
        eps: >= 0, gradient units squared (inside the root).

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Differs from: torch.optim.Adagrad, whose sum starts at 0 with eps outside the root.
    Reference: Duchi, Hazan & Singer 2011, section 1.2, jmlr.org/papers/v12/duchi11a.html.

    >>> opt, x, g = gd.adagrad(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.095346 0.098773]
    """
    slots: dict[str, Any] = {"sum_of_squares": Slot(initial_accumulator_value, real=True)}
    return leafwise(adagrad_rule, learning_rate, slots=slots, eps=eps)


def adagrad_rule(g: Array, sum_of_squares: Array, *, eps: Array) -> Direction:
    sum_of_squares = sum_of_squares + abs_sq(g)
    positive = sum_of_squares > 0
    scale = jnp.where(positive, jax.lax.rsqrt(jnp.where(positive, sum_of_squares, 1) + eps), 0)
    return scale * g, {"sum_of_squares": sum_of_squares}
