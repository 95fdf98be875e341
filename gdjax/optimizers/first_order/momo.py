"""Polyak's rule with momentum: a step to where the averaged model of the loss reaches its lower bound."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.first_order.polyak_sgd import TINY, rescale
from gdjax.optimizers.leafwise import Slot
from gdjax.optimizers.treewise import Scalar, Vector, VectorDirection, treewise
from gdjax.types import ScalarOrSchedule

_MOMO = {"learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


@optimizer(static=("adapt_lower_bound",), bounds={**_MOMO, "beta": "[0, 1)"})
def momo(
    learning_rate: ScalarOrSchedule = 1.0,
    beta: ScalarOrSchedule = 0.9,
    lower_bound: ScalarOrSchedule = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    adapt_lower_bound: bool = False,
):
    """MoMo: momentum descent with Polyak's step, for the averaged linear model of the loss.

        m <- beta m + (1 - beta) g,   barf <- ... value,   gamma <- ... <g, p>              the first step has beta = 0
        tau = min(learning_rate, max(0, q (barf - gamma - lower_bound) + <m, p>) / |m|²)
        q = 1 + learning_rate weight_decay,     u = -tau m - learning_rate weight_decay/q p

    Args:
        learning_rate: the longest step; number, array or schedule.
        beta: in [0, 1); memory of about 1/(1 - beta) steps.
        lower_bound: of the loss.
        weight_decay: >= 0.
        adapt_lower_bound: also estimate the bound from below, from what has been seen.

    Memory: 1 x params.   Raises: ValueError outside these ranges, or if update is called without `value=`.
    Differs from: Optax at complex parameters, where its step turns complex as soon as weight decay moves them too.
    Reference: Schaipp et al. 2024, Algorithms 1 and 3, arXiv:2305.07583.

    >>> opt, x, g = gd.momo(), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x, value=2.5)[0])
    [-0.5 1.]
    """
    slots = {"exp_avg": Slot(), "barf": Scalar(), "gamma": Scalar(), "lb": Scalar(lower_bound)}
    numbers = {"beta": beta, "lower_bound": lower_bound, "weight_decay": weight_decay}
    pair = treewise(
        momo_rule, learning_rate, slots=slots, returns="step", static={"adapt": adapt_lower_bound}, **numbers
    )
    pair.exact = False  # the rate is only the longest step
    return pair


def momo_rule(
    g: Vector,
    p: Vector,
    t: Array,
    value: Array,
    exp_avg: Vector,
    barf: Array,
    gamma: Array,
    lb: Array,
    *,
    learning_rate: Any,
    beta: Any,
    lower_bound: Any,
    weight_decay: Any,
    adapt: bool,
) -> VectorDirection:
    keep = jnp.where(t == 1, 0.0, beta)
    barf = keep * barf + (1 - keep) * value
    m = keep * exp_avg + (1 - keep) * g
    gamma = keep * gamma + (1 - keep) * g.dot(p)
    s, squared, scaled = rescale(m)
    model = Model(barf, gamma, squared, m.dot(p), learning_rate, weight_decay, s)
    tau, lb = model.step(lb, lower_bound, 1.0, adapt)
    return tau * scaled + model.shrink() * p, {"exp_avg": m, "barf": barf, "gamma": gamma, "lb": lb}


class Model(NamedTuple):
    """The averaged linear model of the loss along -m: value barf - gamma + <m, p>, slope -|m|²."""

    barf: Array
    gamma: Array
    squared: Array  # |scale m|², in the metric of the method
    product: Array  # <m, p>
    rate: Any
    weight_decay: Any
    scale: Array

    def shrink(self) -> Any:
        return (self.rate * self.weight_decay) / (1 + self.rate * self.weight_decay)

    def step(self, lb: Any, least: Any, correction: Any, adapt: bool) -> tuple[Array, Array]:
        """(tau / scale, the next lower bound)."""
        q = 1 + self.rate * self.weight_decay
        if adapt:
            cap = q * (self.barf - self.gamma) + self.product
            lb = jnp.where(cap < q * correction * lb, jnp.maximum(cap / (2 * correction * q), least), lb)
        reach = jnp.maximum(q * (self.barf - correction * lb - self.gamma) + self.product, 0)
        tau = jnp.minimum(self.rate / correction / self.scale, tree.ratio(reach, self.squared) * self.scale)
        tau = jnp.where(self.squared > TINY * self.scale * self.scale, tau, 0)
        if adapt:
            slope = 0.5 * tree.ratio(tau * self.squared, self.scale)
            bound = (self.barf + self.product - self.gamma - slope) / correction
            lb = jnp.maximum(bound, least)
        return tau, lb
