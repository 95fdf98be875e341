"""Steps per coordinate in the parameter's units: the ratio of recent steps and recent gradients."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}


@optimizer(
    static=("weight_decay_mask",),
    bounds={**_RATE, "rho": "[0, 1)", "weight_decay": "[0, inf)"},
)
def adadelta(
    learning_rate: ScalarOrSchedule | None = None,
    rho: ScalarOrSchedule = 0.9,
    eps: ScalarOrSchedule = 1e-6,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: Any = None,
):
    """Adadelta: steps in parameter units, from the running size of past steps.

        g <- g + weight_decay p
        e_g <- rho e_g + (1 - rho) g²
        d = sqrt(e_x + eps) / sqrt(e_g + eps) g
        e_x <- rho e_x + (1 - rho) d²,       u = -learning_rate d

    Args:
        learning_rate: dimensionless factor, number, array or schedule (default: 1, as in the paper).
        rho: in [0, 1); memory of about 1/(1 - rho) steps.
        eps: >= 0; sets the size of the first steps, sqrt(eps).
        weight_decay: >= 0, coupled: added to the gradient.
        weight_decay_mask: tree of bools, or params -> such a tree.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax, where learning_rate=None climbs (the sign is not turned) and complex parameters are silently
        wrong (it averages g² instead of |g|²).
    Reference: Zeiler 2012, Algorithm 1, arXiv:1212.5701.

    >>> opt, x, g = gd.adadelta(1.0), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.0031623 0.0031623]
    """
    slots: dict[str, Any] = {"e_g": Slot(real=True), "e_x": Slot(real=True)}
    return leafwise(
        adadelta_rule,
        learning_rate,
        slots=slots,
        mask=weight_decay_mask,
        rho=rho,
        eps=eps,
        weight_decay=weight_decay,
    )


def adadelta_rule(
    g: Array, p: Array, e_g: Array, e_x: Array, *, rho: Array, eps: Array, weight_decay: Array
) -> Direction:
    g = g + weight_decay * p
    e_g = rho * e_g + (1 - rho) * abs_sq(g)
    d = jnp.sqrt(e_x + eps) / jnp.sqrt(e_g + eps) * g
    e_x = rho * e_x + (1 - rho) * abs_sq(d)
    return d, {"e_g": e_g, "e_x": e_x}
