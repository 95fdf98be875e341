"""Weight decay only where it agrees with the sign of the step."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, leafwise
from gdjax.types import ScalarOrSchedule


@optimizer(static=("mask",), bounds={"weight_decay": "[0, inf)"})
def cautious_weight_decay(weight_decay: ScalarOrSchedule, mask: Any = None):
    """Cautious weight decay: only entries that the step already brings nearer to 0 decay.

        g <- g + weight_decay [g p >= 0] p                              entry by entry; of complex ones, Re(conj(g) p)

    It stands where `optax.add_decayed_weights` does, after what makes the direction and before the rate:
    `chain(scale_by_adam(), cautious_weight_decay(0.1), scale_by_learning_rate(1e-3))` is AdamW with cautious decay.

    Args:
        weight_decay: >= 0; number, array or schedule.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree; None means all.

    Memory: 0 x params.   Raises: ValueError outside this range, or if update is called without params.
    Reference: Chen et al. 2025, Algorithm 1, arXiv:2510.12402.

    >>> opt, x, g = gd.cautious_weight_decay(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [1.1 -2.]
    """
    init, update = leafwise(cautious_weight_decay_rule, None, returns="step", mask=mask, weight_decay=weight_decay)
    return init, update  # there is no rate here


def cautious_weight_decay_rule(g: Array, p: Array, *, weight_decay: Array) -> Direction:
    agrees = jnp.real(jnp.conj(jnp.sign(g)) * jnp.sign(p)) >= 0  # of signs, which do not underflow
    return -(g + weight_decay * jnp.where(agrees & (weight_decay > 0), p, 0)), {}
