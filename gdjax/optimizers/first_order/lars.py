"""Momentum with a step per leaf in proportion to the norm of its parameters."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import ArrayLike, ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


def scale_by_trust(
    u: Array, p: Array, coefficient: ArrayLike = 1.0, eps: ArrayLike = 0.0, least: ArrayLike = 0.0
) -> Array:
    """coefficient |p| / (|u| + eps) u, each norm at least `least`; u itself where either is 0."""
    length, (size, scale) = jnp.maximum(tree.global_norm(p), least), tree.norm(u)
    size = jnp.maximum(size, least * scale)
    defined = (length != 0) & (size != 0)
    ratio = jnp.where(defined, coefficient * length, 1) / jnp.where(defined, size + eps * scale, 1)
    return ratio * (u * jnp.where(defined, scale, 1))


@optimizer(static=("weight_decay_mask", "trust_ratio_mask", "nesterov"), bounds={**_RATE, "momentum": "[0, 1)"})
def lars(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: Any = True,
    trust_coefficient: ScalarOrSchedule = 0.001,
    eps: ScalarOrSchedule = 0.0,
    trust_ratio_mask: Any = True,
    momentum: ScalarOrSchedule = 0.9,
    nesterov: bool = False,
):
    """LARS: momentum descent whose step in each leaf is a fixed fraction of the leaf's own size.

        g <- g + weight_decay p,     r = trust_coefficient |p| / (|g| + eps)          r = 1 where a norm is 0 or masked
        trace <- learning_rate r g + momentum trace,     u = -trace
        u = -(learning_rate r g + momentum trace)  with the new trace                 nesterov

    Args:
        learning_rate: dimensionless; number, array or schedule. It is inside the memory.
        weight_decay: >= 0, coupled: added to the gradient.
        weight_decay_mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.
        trust_coefficient: the fraction.
        eps: >= 0, gradient units.
        trust_ratio_mask: which leaves are scaled; biases often are not.
        momentum: in [0, 1); memory of about 1/(1 - momentum) steps.
        nesterov: look ahead along the trace.

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Differs from: the paper in nothing but that momentum comes after the rate, as there, and not before it as in torch.
    Reference: You, Gitman & Ginsburg 2017, Algorithm 1, arXiv:1708.03888.

    >>> opt, x, g = gd.lars(0.1, trust_coefficient=0.01), jnp.array([6.0, 8.0]), jnp.array([3.0, -4.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.006 0.008]
    """
    return leafwise(
        lars_rule,
        learning_rate,
        slots={"trace": Slot()},
        returns="step",
        mask=weight_decay_mask,
        masks={"trust": trust_ratio_mask},
        trust=1.0,
        weight_decay=weight_decay,
        trust_coefficient=trust_coefficient,
        eps=eps,
        momentum=momentum,
        nesterov=nesterov,
    )


def lars_rule(
    g: Array,
    p: Array,
    trace: Array,
    *,
    learning_rate: Array,
    weight_decay: Array,
    trust_coefficient: Array,
    eps: Array,
    trust: Array,
    momentum: Array,
    nesterov: bool,
) -> Direction:
    g = g + weight_decay * p
    step = learning_rate * jnp.where(trust > 0, scale_by_trust(g, p, trust_coefficient, eps), g)
    trace = step + momentum * trace
    return (step + momentum * trace if nesterov else trace), {"trace": trace}
