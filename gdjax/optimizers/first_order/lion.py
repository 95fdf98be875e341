"""The sign of an interpolation between the mean gradient and the present one."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import DTypeLike, ScalarOrSchedule


@optimizer(
    static=("mu_dtype", "mask"),
    bounds={"learning_rate": "[0, inf)", "b1": "[0, 1)", "b2": "[0, 1)", "weight_decay": "[0, inf)"},
)
def lion(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.99,
    mu_dtype: DTypeLike | None = None,
    weight_decay: ScalarOrSchedule = 1e-3,
    mask: Any = None,
):
    """Lion: the sign of a mean that weighs the present gradient more than its memory will.

        u = -learning_rate (sign(b1 mu + (1 - b1) g) + weight_decay p),      mu <- b2 mu + (1 - b2) g

    Steps are as long as the rate, so it wants 3 to 10 times less of it than Adam, and as much more decay.

    Args:
        learning_rate: the step, in parameter units; number, array or schedule.
        b1: in [0, 1), the weight of the memory in the mean whose sign is taken.
        b2: in [0, 1), decay rate of the memory.
        mu_dtype: dtype of the memory (default: that of the parameter).
        weight_decay: >= 0, decoupled, per step and unit of learning rate; number, array or schedule.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Reference: Chen et al. 2023, Algorithm 2, arXiv:2302.06675.

    >>> opt, x, g = gd.lion(0.1, weight_decay=0.01), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.101 0.099]
    """
    decay = {"weight_decay": weight_decay, "mask": mask}
    return leafwise(lion_rule, learning_rate, slots={"mu": Slot(dtype=mu_dtype)}, b1=b1, b2=b2, **decay)


def lion_rule(g: Array, mu: Array, *, b1: Array, b2: Array) -> Direction:
    return jnp.sign(b1 * mu + (1 - b1) * g), {"mu": b2 * mu + (1 - b2) * g}
