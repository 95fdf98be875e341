"""Adam with Nesterov's momentum, estimated from differences of gradients."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adam import adamw
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}


_MOMENTS = {**_RATE, "b1": "[0, 1)", "b2": "[0, 1)"}


_ROOT = {**_MOMENTS, "eps_root": "[0, inf)"}


_DECAY = {"weight_decay": "[0, inf)"}


@optimizer(static=("mask",), bounds={**_ROOT, **_DECAY, "b3": "[0, 1)"}, like=adamw)
def adan(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.98,
    b2: ScalarOrSchedule = 0.92,
    b3: ScalarOrSchedule = 0.99,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
):
    """Adan: Nesterov's look ahead, made of the running mean of the gradient's differences.

        d = g - g_before (0 at the first step)
        m <- b1 m + (1 - b1) g       v <- b2 v + (1 - b2) d       n <- b3 n + (1 - b3) (g + (1 - b2) d)²
        u = -learning_rate ((m_hat + (1 - b2) v_hat) / (sqrt(n_hat + eps_root) + eps) + weight_decay p)

    Args: `learning_rate`, `eps`, `eps_root`, `weight_decay` and `mask` as `adamw`, and
        b1: in [0, 1), decay rate of the mean m of gradients.
        b2: in [0, 1), decay rate of the mean v of differences.
        b3: in [0, 1), decay rate of the mean n of squares. The three means are corrected for their start as Adam's are.

    Memory: 4 x params.   Raises: ValueError outside these ranges.
    Differs from: the paper, which writes 1 - b for b and decays by division.
    Reference: Xie et al. 2022, Algorithm 1, arXiv:2208.06677.

    >>> opt, x, g = gd.adan(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.1 0.1]
    """
    slots: dict[str, Any] = {"m": Slot(), "v": Slot(), "n": Slot(real=True), "g_before": Slot()}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "b3": b3, "eps": eps, "eps_root": eps_root}
    return leafwise(adan_rule, learning_rate, slots=slots, weight_decay=weight_decay, mask=mask, **options)


def adan_rule(
    g: Array,
    t: Array,
    m: Array,
    v: Array,
    n: Array,
    g_before: Array,
    *,
    b1: Array,
    b2: Array,
    b3: Array,
    eps: Array,
    eps_root: Array,
) -> Direction:
    d = jnp.where(t == 1, 0, g - g_before)
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * d
    n = b3 * n + (1 - b3) * abs_sq(g + (1 - b2) * d)
    ahead = m / (1 - b1**t) + (1 - b2) * v / (1 - b2**t)
    u = ahead / (jnp.sqrt(n / (1 - b3**t) + eps_root) + eps)
    return u, {"m": m, "v": v, "n": n, "g_before": g}
