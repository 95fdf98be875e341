"""Distance over weighted gradients."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Slot
from gdjax.optimizers.treewise import Scalar, Vector, VectorDirection, treewise
from gdjax.types import ArrayLike, ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


@optimizer(
    static=("mask",),
    bounds={**_RATE, "init_estim_sq_dist": "(0, inf)"},
    constant=("init_estim_sq_dist", "eps"),
)
def dowg(
    learning_rate: ScalarOrSchedule = 1.0,
    init_estim_sq_dist: ArrayLike | None = None,
    eps: ArrayLike = 1e-4,
    weight_decay: ScalarOrSchedule | None = None,
    mask: Any = None,
):
    """DoWG, distance over weighted gradients: DoG in which later, farther gradients weigh more.

        estim_dist <- max(estim_dist, |p - p0|)
        weighted_norm_grads² <- weighted_norm_grads² + estim_dist² |g|²
        u = -learning_rate estim_dist² / (weighted_norm_grads + eps) g

    Args:
        learning_rate: factor; number, array or schedule.
        init_estim_sq_dist: > 0, the first squared distance (default: eps).
        eps: > 0.
        weight_decay: >= 0, coupled: added to the gradient (default: none).
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Reference: Khaled, Mishchenko & Jin 2023, Algorithm 1, arXiv:2305.16284.

    >>> opt, x, g = gd.dowg(init_estim_sq_dist=0.01), jnp.ones(2), jnp.array([3.0, -4.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.059988 0.079984]
    """
    first = tree.root(eps if init_estim_sq_dist is None else init_estim_sq_dist)
    slots = {"init_params": Slot(lambda p: p), "weighted_norm_grads": Scalar(), "estim_dist": Scalar(first)}
    return treewise(dowg_rule, learning_rate, slots=slots, weight_decay=weight_decay, mask=mask, eps=eps)


def dowg_rule(
    g: Vector, p: Vector, init_params: Vector, weighted_norm_grads: Array, estim_dist: Array, *, eps: Any
) -> VectorDirection:
    d = jnp.maximum(estim_dist, (p - init_params).norm())
    total = jnp.hypot(weighted_norm_grads, d * g.norm())
    return d * (d * g).over(total + eps), {"weighted_norm_grads": total, "estim_dist": d}  # roots of Optax's squares
