"""Adagrad with sums of squares per axis, which bound those of the entries."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import ScalarOrSchedule


@optimizer(bounds={"learning_rate": "[0, inf)", "momentum": "[0, 1)"})
def sm3(learning_rate: ScalarOrSchedule, momentum: ScalarOrSchedule = 0.9):
    """SM3: Adagrad with one sum of squares for each row and each column; an entry takes the smaller of its two.

        nu(i, j) = min(row_i, column_j) + g²,     row_i <- max_j nu(i, j),   column_j <- max_i nu(i, j)
        nu <- momentum nu + (1 - momentum) g / sqrt(nu(i, j) + 1e-8),     u = -learning_rate nu

    and likewise for any number of axes; a vector has one sum an entry. The state's mu holds the sums of all axes of a leaf
    in a row, its nu the averaged direction (Optax's names).

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        momentum: in [0, 1), decay rate of the mean of the directions.

    Memory: 1 x params + the lengths of all axes.   Raises: ValueError outside these ranges.
    Differs from: Optax, which has no schedules here and fails on scalars.
    Reference: Anil et al. 2019, Algorithm SM3-II, arXiv:1901.11150.

    >>> opt, x, g = gd.sm3(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.01 0.01]
    """
    slots: dict[str, Any] = {"mu": Slot(lambda p: jnp.zeros(max(sum(p.shape), 1)), real=True), "nu": Slot()}
    return leafwise(sm3_rule, learning_rate, slots=slots, momentum=momentum)


def sm3_rule(g: Array, mu: Array, nu: Array, *, momentum: Array) -> Direction:
    original, g, nu = g.shape, jnp.atleast_1d(g), jnp.atleast_1d(nu)
    ends = [0, *itertools.accumulate(g.shape)]
    sums = [mu[start:end] for start, end in itertools.pairwise(ends)]
    covers = [x.reshape([-1 if i == axis else 1 for i in range(g.ndim)]) for axis, x in enumerate(sums)]
    total = functools.reduce(jnp.minimum, covers) + abs_sq(g)
    nu = momentum * nu + (1 - momentum) * g * jnp.where(total > 0, (total + 1e-8) ** -0.5, 0)
    if total.size:
        sums = [jnp.max(total, axis=tuple(i for i in range(g.ndim) if i != axis)) for axis in range(g.ndim)]
        mu = jnp.concatenate(sums)
    nu = nu.reshape(original)
    return nu, {"mu": mu, "nu": nu}
