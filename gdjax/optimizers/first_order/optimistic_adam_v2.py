"""Adam on an extrapolated gradient."""

from __future__ import annotations

from typing import Any

from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adam import adam, adam_rule
from gdjax.optimizers.first_order.optimistic_gradient_descent import optimistic_gradient_descent_rule
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import DTypeLike, ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}


_MOMENTS = {**_RATE, "b1": "[0, 1)", "b2": "[0, 1)"}


_ROOT = {**_MOMENTS, "eps_root": "[0, inf)"}


@optimizer(static=("mu_dtype", "nesterov"), bounds=_ROOT, like=adam)
def optimistic_adam_v2(
    learning_rate: ScalarOrSchedule,
    *,
    alpha: ScalarOrSchedule = 1.0,
    beta: ScalarOrSchedule = 1.0,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
    mu_dtype: DTypeLike | None = None,
    nesterov: bool = True,
):
    """Optimistic Adam: Adam's direction, and once more what it has changed by.

        d as `nadam` (or `adam`)
        u = -learning_rate ((alpha + beta) d - beta previous_gradient),      previous_gradient <- d

    Args: as `adam`, and
        alpha: the weight of the direction.
        beta: the weight of its change.

    Memory: 3 x params.   Raises: ValueError outside these ranges.
    Reference: Daskalakis et al. 2018, Algorithm 1, arXiv:1711.00141.

    >>> opt, x, g = gd.optimistic_adam_v2(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.14737 0.14737]
    """
    slots: dict[str, Any] = {"mu": Slot(dtype=mu_dtype), "nu": Slot(real=True), "previous_gradient": Slot()}
    options: dict[str, Any] = {"alpha": alpha, "beta": beta, "b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}
    return leafwise(optimistic_adam_v2_rule, learning_rate, slots=slots, nesterov=nesterov, **options)


def optimistic_adam_v2_rule(
    g: Array, t: Array, mu: Array, nu: Array, previous_gradient: Array, *, alpha: Array, beta: Array, **options: Any
) -> Direction:
    d, new = adam_rule(g, t, mu, nu, **options)
    u, last = optimistic_gradient_descent_rule(d, t, previous_gradient, alpha=alpha, beta=beta)
    return u, {**new, **last}
