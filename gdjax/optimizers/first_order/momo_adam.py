"""Momo with Adam's preconditioner."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.first_order.momo import Model, momo
from gdjax.optimizers.first_order.polyak_sgd import rescale
from gdjax.optimizers.leafwise import Slot
from gdjax.optimizers.treewise import Scalar, Vector, VectorDirection, treewise
from gdjax.types import ScalarOrSchedule

_MOMO = {"learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


@optimizer(
    static=("adapt_lower_bound",), bounds={**_MOMO, "b1": "[0, 1)", "b2": "[0, 1)", "eps": "[0, inf)"}, like=momo
)
def momo_adam(
    learning_rate: ScalarOrSchedule = 1e-2,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    lower_bound: ScalarOrSchedule = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    adapt_lower_bound: bool = False,
):
    """MoMo-Adam: Adam with Polyak's step, for the averaged linear model of the loss in Adam's metric.

        m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g²,   D = eps + sqrt(v_hat),   barf, gamma as `momo`, with b1
        tau = min(learning_rate/c, max(0, q (barf - gamma - c lower_bound) + <m, p>) / <m, m/D>),   c = 1 - b1^t
        u = -tau m/D - learning_rate weight_decay/q p,                          q = 1 + learning_rate weight_decay

    Args: as `momo`, and
        b1: in [0, 1), decay rate of the means of the gradient, the value and <g, p>.
        b2: in [0, 1), decay rate of the second moment.
        eps: >= 0, gradient units.

    Memory: 2 x params.   Raises: ValueError outside these ranges, or if update is called without `value=`.
    Differs from: Optax at complex parameters, where it averages g² instead of |g|².
    Reference: Schaipp et al. 2024, Algorithm 2, arXiv:2305.07583.

    >>> opt, x, g = gd.momo_adam(1.0), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x, value=1.5)[0])
    [-0.5 0.5]
    """
    vectors = {"exp_avg": Slot(), "exp_avg_sq": Slot(real=True)}
    slots = {**vectors, "barf": Scalar(), "gamma": Scalar(), "lb": Scalar(lower_bound)}
    numbers = {"b1": b1, "b2": b2, "eps": eps, "lower_bound": lower_bound, "weight_decay": weight_decay}
    pair = treewise(
        momo_adam_rule, learning_rate, slots=slots, returns="step", static={"adapt": adapt_lower_bound}, **numbers
    )
    pair.exact = False  # the rate is only the longest step
    return pair


def momo_adam_rule(
    g: Vector,
    p: Vector,
    t: Array,
    value: Array,
    exp_avg: Vector,
    exp_avg_sq: Vector,
    barf: Array,
    gamma: Array,
    lb: Array,
    *,
    learning_rate: Any,
    b1: Any,
    b2: Any,
    eps: Any,
    lower_bound: Any,
    weight_decay: Any,
    adapt: bool,
) -> VectorDirection:
    barf = b1 * barf + (1 - b1) * value
    m = b1 * exp_avg + (1 - b1) * g
    v = b2 * exp_avg_sq + (1 - b2) * g.map(tree.abs_sq)
    s, _, short = rescale(m)
    scaled = short / (eps + (v / (1 - b2**t)).map(jnp.sqrt))
    gamma = b1 * gamma + (1 - b1) * g.dot(p)
    model = Model(barf, gamma, short.dot(scaled), m.dot(p), learning_rate, weight_decay, s)
    tau, lb = model.step(lb, lower_bound, 1 - b1**t, adapt)
    new = {"exp_avg": m, "exp_avg_sq": v, "barf": barf, "gamma": gamma, "lb": lb}
    return tau * scaled + model.shrink() * p, new
