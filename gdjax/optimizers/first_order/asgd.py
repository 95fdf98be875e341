"""Optimizers whose answer is an average of where they have been; their states say which (`evaluation_params`)."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import schedules, tree
from gdjax.calls.node import Rated, is_number, optimizer, rate_of
from gdjax.optimizers.first_order.adagrad import rmsprop
from gdjax.optimizers.first_order.sgd import sgd
from gdjax.optimizers.leafwise import Slot, leafwise
from gdjax.optimizers.transforms.decay import decay_weights
from gdjax.optimizers.wrappers.schedule_free import schedule_free
from gdjax.types import OptState

_SCHEDULE_FREE = {"learning_rate": "[0, inf)", "b1": "(0, 1]", "weight_lr_power": "[0, inf)"}


def _warmed(learning_rate: Any, warmup_steps: Any) -> Any:
    if warmup_steps is None:
        return learning_rate
    return schedules.linear(0.0, learning_rate, warmup_steps)


@optimizer(static=("state_dtype",), bounds={**_SCHEDULE_FREE, "weight_decay": "[0, inf)"})
def schedule_free_sgd(
    learning_rate=1.0, warmup_steps=None, b1=0.9, weight_decay=None, weight_lr_power=2.0, state_dtype: Any = None
):
    """Schedule-free descent: plain descent, averaged as it goes.

        z <- z - learning_rate (g + weight_decay p),     the parameters and their average as `schedule_free`

    Args: as `schedule_free`, and
        warmup_steps: the rate rises to learning_rate over so many steps, from 0; None is none.
        weight_decay: >= 0, per step and unit of learning rate; None is none.

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax, which never reads schedule(0) for the weights.
    Reference: Defazio et al. 2024, Algorithm 1, arXiv:2405.15682.
    """
    rate = _warmed(learning_rate, warmup_steps)
    base = sgd(rate) if weight_decay is None else decay_weights(sgd(rate), weight_decay)
    return schedule_free(base, rate, b1, weight_lr_power, state_dtype).build()


@optimizer(
    static=("state_dtype",), bounds={**_SCHEDULE_FREE, "b2": "[0, 1)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}
)
def schedule_free_adamw(
    learning_rate=0.0025,
    warmup_steps=None,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    weight_lr_power=2.0,
    state_dtype: Any = None,
):
    """Schedule-free AdamW: AdamW whose momentum is the averaging.

        z <- z - learning_rate (g / (sqrt(nu_hat) + eps) + weight_decay p),                        nu_hat as `adam`
        the parameters and their average as `schedule_free`

    Args: as `schedule_free`, and
        warmup_steps: the rate rises to learning_rate over so many steps, from 0; None is none.
        b2: in [0, 1); memory of about 1/(1 - b2) steps.
        eps: >= 0, gradient units.
        weight_decay: >= 0, per step and unit of learning rate.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax, which never reads schedule(0) for the weights.
    Reference: Defazio et al. 2024, Algorithm 1 and section 4, arXiv:2405.15682.
    """
    rate = _warmed(learning_rate, warmup_steps)
    scaled = rmsprop(rate, decay=b2, eps=eps, eps_in_sqrt=False, bias_correction=True)
    return schedule_free(decay_weights(scaled, weight_decay), rate, b1, weight_lr_power, state_dtype).build()


class AsgdState(NamedTuple):
    """`ax` is the average up to the last update but one; the present parameters have their share in what is evaluated."""

    count: jax.Array
    slots: dict[str, Any]
    share: jax.Array  # () float

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
def asgd(learning_rate=0.01, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0.0):
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
    """
    slots: dict[str, Any] = {"ax": Slot(lambda p: p, wide=True)}
    numbers: dict[str, Any] = {"lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay}
    begin, descend = leafwise(asgd_rule, learning_rate, slots=slots, **numbers)

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

    return Rated(init, update, rate_at)


def asgd_rule(g, p, t, ax, *, learning_rate, lambd, alpha, t0, weight_decay):
    eta = learning_rate / (1 + lambd * learning_rate * (t - 1)) ** alpha
    step = eta * (g + weight_decay * p) + lambd * eta * p
    return step, {"ax": ax + (p - ax) / jnp.maximum(1, t - 1 - t0)}
