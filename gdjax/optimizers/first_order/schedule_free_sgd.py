"""Descent with averaged iterates in place of a learning-rate schedule."""

from __future__ import annotations

from typing import Any

from gdjax import schedules
from gdjax.calls import optimizer
from gdjax.optimizers.first_order.sgd import sgd
from gdjax.optimizers.wrappers.decay_weights import decay_weights
from gdjax.optimizers.wrappers.schedule_free import schedule_free
from gdjax.types import ArrayLike, DTypeLike, ScalarOrSchedule

_SCHEDULE_FREE = {"learning_rate": "[0, inf)", "b1": "(0, 1]", "weight_lr_power": "[0, inf)"}


def warm_up(learning_rate: Any, warmup_steps: Any) -> Any:
    if warmup_steps is None:
        return learning_rate
    return schedules.linear(0.0, learning_rate, warmup_steps)


def weight_rate(rate: Any, warmup_steps: Any) -> Any:
    """The rate that the weights of the average go by."""
    return rate if warmup_steps is None else lambda step: rate(step + 1)


@optimizer(
    static=("state_dtype",),
    bounds={**_SCHEDULE_FREE, "weight_decay": "[0, inf)"},
    like=schedule_free,
    constant=("b1", "weight_lr_power"),
)
def schedule_free_sgd(
    learning_rate: ScalarOrSchedule = 1.0,
    warmup_steps=None,
    b1: ArrayLike = 0.9,
    weight_decay: ScalarOrSchedule | None = None,
    weight_lr_power: ArrayLike = 2.0,
    state_dtype: DTypeLike | None = None,
):
    """Schedule-free descent: plain descent, averaged as it goes.

        z <- z - learning_rate (g + weight_decay p),     the parameters and their average as `schedule_free`

    Args: as `schedule_free`, and
        warmup_steps: the rate rises to learning_rate over so many steps, from 0 (default: none).
        weight_decay: >= 0, per step and unit of learning rate (default: none).

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Differs from: the paper in that the weights of the average see a warm-up one step on, as in Optax; and from Optax, which
        divides the count of its warm-up in float32.
    Reference: Defazio et al. 2024, Algorithm 1, arXiv:2405.15682.

    >>> opt, x, g = gd.schedule_free_sgd(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.1 0.2]
    """
    rate = warm_up(learning_rate, warmup_steps)
    base = sgd(rate) if weight_decay is None else decay_weights(sgd(rate), weight_decay)
    return schedule_free(base, weight_rate(rate, warmup_steps), b1, weight_lr_power, state_dtype).build()
