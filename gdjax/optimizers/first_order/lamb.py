"""Adam with a step per leaf in proportion to the norm of its parameters."""

from __future__ import annotations

from typing import Any

from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adam import adam_rule, adamw
from gdjax.optimizers.first_order.lars import scale_by_trust
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


_ADAM = {**_RATE, "b1": "[0, 1)", "b2": "[0, 1)"}


@optimizer(static=("mask",), bounds={**_ADAM, "eps_root": "[0, inf)"}, like=adamw)
def lamb(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-6,
    eps_root: ScalarOrSchedule = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
):
    """LAMB: AdamW whose step in each leaf is as long as the leaf itself, times the rate.

        d = mu_hat / (sqrt(nu_hat + eps_root) + eps) + weight_decay p                    mu_hat, nu_hat as `adam`
        u = -learning_rate |p|/|d| d                                                     the ratio is 1 where a norm is 0

    Args: as `adamw`, and
        learning_rate: the fraction of its size by which a leaf moves; number, array or schedule.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Reference: You et al. 2020, Algorithm 2, arXiv:1904.00962.

    >>> opt, x, g = gd.lamb(0.1), jnp.array([6.0, 8.0]), jnp.array([3.0, -4.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.70711 0.70711]
    """
    slots: dict[str, Any] = {"mu": Slot(), "nu": Slot(real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "weight_decay": weight_decay}
    return leafwise(lamb_rule, learning_rate, slots=slots, mask=mask, **options)


def lamb_rule(g: Array, p: Array, t: Array, mu: Array, nu: Array, *, weight_decay: Array, **options: Any) -> Direction:
    d, new = adam_rule(g, t, mu, nu, nesterov=False, **options)
    d = d + weight_decay * p
    return scale_by_trust(d, p), new
