"""Steps by the sign of the derivative, of equal length in all coordinates."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, leafwise
from gdjax.types import ScalarOrSchedule


@optimizer(bounds={"learning_rate": "[0, inf)"})
def sign_sgd(learning_rate: ScalarOrSchedule):
    """Sign descent: a step of fixed length in every coordinate, against its slope.

        u = -learning_rate sign(g)                     sign(0) = 0; of a complex number g/|g|

    It does not come to rest: near the minimum it steps to and fro by the rate.

    Args:
        learning_rate: the step, in parameter units; number, array or schedule.

    Memory: 0 x params.   Raises: ValueError if learning_rate is negative.
    Reference: Bernstein et al. 2018, Algorithm 1, arXiv:1802.04434.

    >>> opt, x, g = gd.sign_sgd(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.1 0.1]
    """
    return leafwise(sign_sgd_rule, learning_rate)


def sign_sgd_rule(g: Array) -> Direction:
    return jnp.sign(g), {}
