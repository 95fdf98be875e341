"""Descent with steps in proportion to the norm of each leaf's parameters."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.lars import scale_by_trust
from gdjax.optimizers.leafwise import Direction, leafwise
from gdjax.types import ScalarOrSchedule


@optimizer(bounds={"learning_rate": "[0, inf)", "min_norm": "[0, inf)"})
def fromage(learning_rate: ScalarOrSchedule, min_norm: ScalarOrSchedule = 1e-6):
    """Fromage: a step of fixed relative length in each leaf, then back to a size that does not grow.

        m = 1/sqrt(1 + learning_rate²),     u = -m learning_rate |p|/|g| g - (1 - m) p         norms at least min_norm

    Args:
        learning_rate: dimensionless, the relative length; number, array or schedule. 0.01 is a good start.
        min_norm: >= 0.

    Memory: 0 x params.   Raises: ValueError outside these ranges.
    Reference: Bernstein et al. 2020, Algorithm 1, arXiv:2002.03432.

    >>> opt, x, g = gd.fromage(0.1), jnp.array([6.0, 8.0]), jnp.array([3.0, -4.0])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [-0.6268 0.75633]
    """
    return leafwise(fromage_rule, learning_rate, returns="step", min_norm=min_norm)


def fromage_rule(g: Array, p: Array, *, learning_rate: Array, min_norm: Array) -> Direction:
    root = jnp.sqrt(1 + learning_rate**2)
    lost = learning_rate**2 / (root * (1 + root))  # 1 - 1/root, all of its digits
    return learning_rate / root * scale_by_trust(g, p, least=min_norm) + lost * p, {}
