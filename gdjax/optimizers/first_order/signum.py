"""Steps by the sign of the mean gradient."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import DTypeLike, ScalarOrSchedule


@optimizer(static=("accumulator_dtype",), bounds={"learning_rate": "[0, inf)", "beta": "[0, 1)"})
def signum(learning_rate: ScalarOrSchedule, beta: ScalarOrSchedule = 0.9, accumulator_dtype: DTypeLike | None = None):
    """Signum: the sign of a running mean of gradients.

        ema <- beta ema + (1 - beta) g,      u = -learning_rate sign(ema)

    Args:
        learning_rate: the step, in parameter units; number, array or schedule.
        beta: in [0, 1); memory of about 1/(1 - beta) steps.
        accumulator_dtype: dtype of the mean (default: that of the parameter).

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Reference: Bernstein et al. 2018, Algorithm 2, arXiv:1802.04434.

    >>> opt, x, g = gd.signum(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.1 0.1]
    """
    return leafwise(signum_rule, learning_rate, slots={"ema": Slot(dtype=accumulator_dtype)}, beta=beta)


def signum_rule(g: Array, ema: Array, *, beta: Array) -> Direction:
    ema = beta * ema + (1 - beta) * g
    return jnp.sign(ema), {"ema": ema}
