"""Averaged stochastic gradient descent; the average is given by `evaluation_params`."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gdjax import tree
from gdjax.calls import WithRate, is_number, optimizer, rate_of
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import OptState, ScalarOrSchedule


class AsgdState(NamedTuple):
    """`ax` is the average up to the last update but one; `evaluation_params` adds the present parameters."""

    count: Array
    slots: dict[str, Any]
    share: Array  # () float

    def evaluation_params(self, params: Any) -> Any:
        def of_leaf(ax, p):
            return jnp.where(self.share < 1, ax + self.share.astype(jnp.finfo(ax.dtype).dtype) * (p - ax), p)

        return tree.cast_like(jax.tree.map(of_leaf, self.slots["ax"], params), params)


@optimizer(
    bounds={
        "learning_rate": "[0, inf)",
        "lambd": "[0, inf)",
        "alpha": "[0, inf)",
        "t0": "[0, inf)",
        "weight_decay": "[0, inf)",
    }
)
def asgd(
    learning_rate: ScalarOrSchedule = 0.01,
    lambd: ScalarOrSchedule = 1e-4,
    alpha: ScalarOrSchedule = 0.75,
    t0: ScalarOrSchedule = 1e6,
    weight_decay: ScalarOrSchedule = 0.0,
):
    """Averaged descent (Polyak-Ruppert): a slowly falling rate, and the mean of all iterates from some step on.

        eta = learning_rate / (1 + lambd learning_rate (t - 1))^alpha,     u = -eta (g + weight_decay p) - lambd eta p
        ax <- ax + mu (p - ax),    mu = 1 / max(1, t - t0)                        p after update t, as it comes

    ax follows p until step t0 and is its mean from there; evaluate it: `evaluation_params`, which a run does. For least
    squares at a constant rate (lambd = 0) it has the best variance that any method can have.

    Args:
        learning_rate: parameter units per gradient unit; number, array or schedule.
        lambd: >= 0; how soon the rate falls, and a decay of the parameters.
        alpha: >= 0; how fast it falls.
        t0: the step at which averaging starts.
        weight_decay: >= 0, coupled: added to the gradient.

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Reference: Polyak & Juditsky 1992, doi:10.1137/0330046; Bottou 2012; the arguments are those of torch.optim.ASGD.

    >>> opt, x, g = gd.asgd(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.10001 0.19999]
    """
    slots: dict[str, Any] = {"ax": Slot(lambda p: p, wide=True)}
    numbers: dict[str, Any] = {"lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay}
    begin, descend = leafwise(asgd_rule, learning_rate, slots=slots, returns="step", **numbers)

    def init(params):
        count, first = begin(params)
        return AsgdState(count, first, jnp.ones((), jnp.result_type(float)))

    def update(grads, state, params=None, **extra_args):
        updates, (count, new) = descend(grads, OptState(state.count, state.slots), params, **extra_args)
        share = 1 / jnp.maximum(1, count - rate_of(t0, state))
        return updates, AsgdState(count, new, jnp.asarray(share, state.share.dtype))

    def rate_at(state, evaluation):
        rate, fall, power = (rate_of(x, state) for x in (learning_rate, lambd, alpha))
        return rate / (1 + fall * rate * (state if is_number(state) else state.count)) ** power

    return WithRate(init, update, rate_at)


def asgd_rule(
    g: Array,
    p: Array,
    t: Array,
    ax: Array,
    *,
    learning_rate: Array,
    lambd: Array,
    alpha: Array,
    t0: Array,
    weight_decay: Array,
) -> Direction:
    eta = learning_rate / (1 + lambd * learning_rate * (t - 1)) ** alpha
    step = eta * (g + weight_decay * p) + lambd * eta * p
    return step, {"ax": ax + (p - ax) / jnp.maximum(1, t - 1 - t0)}
