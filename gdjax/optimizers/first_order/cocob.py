"""Descent without a learning rate, by betting on the gradient."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import ArrayLike, ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


@optimizer(static=("mask",), bounds={**_RATE, "alpha": "[0, inf)"}, constant=("eps",))
def cocob(
    learning_rate: ScalarOrSchedule = 1.0,
    alpha: ScalarOrSchedule = 100.0,
    eps: ArrayLike = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
):
    """COCOB: each coordinate bets a share of its winnings on the sign of its next gradient; no rate to choose.

        c = learning_rate (g + weight_decay p)
        scale <- max(scale, |c|),     subgradients <- subgradients + |c|,     cumulative_gradients <- ... - c
        reward <- max(0, reward - c (p - p0))
        u = p0 - p + cumulative_gradients / (scale max(subgradients + scale, alpha scale)) (scale + reward)

    Args:
        learning_rate: factor of the gradient; number, array or schedule.
        alpha: >= 0; how careful the first bets are.
        eps: > 0, gradient units; the first scale.
        weight_decay: >= 0, coupled: added to the gradient.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.

    Memory: 5 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax at complex parameters, which it has not, and in float16, where a first gradient of 0 is NaN there.
    Reference: Orabona & Tommasi 2017, Algorithm 2 (COCOB-Backprop), arXiv:1705.07795.

    >>> opt, x, g = gd.cocob(), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.01 0.01]
    """
    slots = {
        "init_particles": Slot(lambda p: p),
        "cumulative_gradients": Slot(),
        "scale": Slot(lambda p: jnp.full_like(p.real, eps), real=True),
        "subgradients": Slot(real=True),
        "reward": Slot(real=True),
    }
    pair = leafwise(
        cocob_rule, learning_rate, slots=slots, returns="step", mask=mask, weight_decay=weight_decay, alpha=alpha
    )
    pair.exact = False  # the rate is a factor of the gradient
    return pair


def cocob_rule(
    g: Array,
    p: Array,
    init_particles: Array,
    cumulative_gradients: Array,
    scale: Array,
    subgradients: Array,
    reward: Array,
    *,
    learning_rate: Array,
    weight_decay: Array,
    alpha: Array,
) -> Direction:
    c = learning_rate * (g + weight_decay * p)
    scale = jnp.maximum(scale, jnp.abs(c))
    subgradients = subgradients + jnp.abs(c)
    reward = jnp.maximum(reward - (jnp.conj(c) * (p - init_particles)).real, 0)
    cumulative_gradients = cumulative_gradients - c
    safe = jnp.where(scale > 0, scale, 1)  # float16 rounds eps to 0; then there has been no gradient, and no bet
    bet = cumulative_gradients / (safe * jnp.maximum(subgradients + safe, alpha * safe)) * (scale + reward)
    return (p - init_particles) - bet, {
        "init_particles": init_particles,
        "cumulative_gradients": cumulative_gradients,
        "scale": scale,
        "subgradients": subgradients,
        "reward": reward,
    }
