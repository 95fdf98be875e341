"""AdamW with averaged iterates in place of a learning-rate schedule."""

from __future__ import annotations

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.rmsprop import rmsprop
from gdjax.optimizers.first_order.schedule_free_sgd import warm_up, weight_rate
from gdjax.optimizers.wrappers.decay_weights import decay_weights
from gdjax.optimizers.wrappers.schedule_free import schedule_free
from gdjax.types import ArrayLike, DTypeLike, ScalarOrSchedule

_SCHEDULE_FREE = {"learning_rate": "[0, inf)", "b1": "(0, 1]", "weight_lr_power": "[0, inf)"}


@optimizer(
    static=("state_dtype",),
    bounds={**_SCHEDULE_FREE, "b2": "[0, 1)", "eps": "[0, inf)", "weight_decay": "[0, inf)"},
    like=schedule_free,
    constant=("b1", "weight_lr_power"),
)
def schedule_free_adamw(
    learning_rate: ScalarOrSchedule = 0.0025,
    warmup_steps=None,
    b1: ArrayLike = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_lr_power: ArrayLike = 2.0,
    state_dtype: DTypeLike | None = None,
):
    """Schedule-free AdamW: AdamW whose momentum is the averaging.

        z <- z - learning_rate (g / (sqrt(nu_hat) + eps) + weight_decay p),                        nu_hat as `adam`
        the parameters and their average as `schedule_free`

    Args: as `schedule_free`, and
        warmup_steps: the rate rises to learning_rate over so many steps, from 0 (default: none).
        b2: in [0, 1); memory of about 1/(1 - b2) steps.
        eps: >= 0, gradient units.
        weight_decay: >= 0, per step and unit of learning rate.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Differs from: the paper in that the weights of the average see a warm-up one step on, as in Optax; and from Optax, which
        divides the count of its warm-up in float32.
    Reference: Defazio et al. 2024, Algorithm 1 and section 4, arXiv:2405.15682.

    >>> opt, x, g = gd.schedule_free_adamw(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.1 0.1]
    """
    rate = warm_up(learning_rate, warmup_steps)
    scaled = rmsprop(rate, decay=b2, eps=eps, eps_in_sqrt=False, bias_correction=True)
    return schedule_free(
        decay_weights(scaled, weight_decay), weight_rate(rate, warmup_steps), b1, weight_lr_power, state_dtype
    ).build()
