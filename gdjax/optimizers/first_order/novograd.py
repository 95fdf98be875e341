"""Adam with one second moment per leaf, applied before the first moment."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


_ADAM = {**_RATE, "b1": "[0, 1)", "b2": "[0, 1)"}


@optimizer(bounds={**_ADAM, "eps_root": "[0, inf)"})
def novograd(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.25,
    eps: ScalarOrSchedule = 1e-6,
    eps_root: ScalarOrSchedule = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
):
    """NovoGrad: momentum on gradients that are divided by the running size of their whole leaf.

        nu <- b2 nu + (1 - b2) |g|²   (|g|² at the first step)                           one number per leaf
        mu <- b1 mu + g / (sqrt(nu + eps_root) + eps) + weight_decay p,     u = -learning_rate mu

    The state holds the root of nu, a norm, which no gradient makes overflow.

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        b1: in [0, 1); memory of about 1/(1 - b1) steps. mu is a sum: steps are up to 1/(1 - b1) long.
        b2: in [0, 1), decay rate of the mean of the squared norms.
        eps: >= 0, gradient units.
        eps_root: >= 0, gradient units squared.
        weight_decay: >= 0; inside the momentum.

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Reference: Ginsburg et al. 2019, Algorithm 1, arXiv:1905.11286.

    >>> opt, x, g = gd.novograd(0.1), jnp.ones(2), jnp.array([3.0, -4.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.06 0.08]
    """
    slots: dict[str, Any] = {"mu": Slot(), "root_nu": Slot(lambda p: jnp.zeros(()), real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "weight_decay": weight_decay}
    return leafwise(novograd_rule, learning_rate, slots=slots, **options)


def novograd_rule(
    g: Array,
    p: Array,
    t: Array,
    mu: Array,
    root_nu: Array,
    *,
    b1: Array,
    b2: Array,
    eps: Array,
    eps_root: Array,
    weight_decay: Array,
) -> Direction:
    norm = tree.global_norm(g)
    root_nu = jnp.where(t == 1, norm, jnp.hypot(tree.root(b2) * root_nu, tree.root(1 - b2) * norm))
    scale = jnp.hypot(root_nu, tree.root(eps_root)) + eps
    mu = b1 * mu + tree.ratio(g, scale) + weight_decay * p
    return mu, {"mu": mu, "root_nu": root_nu}
