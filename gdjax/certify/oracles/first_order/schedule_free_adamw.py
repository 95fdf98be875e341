"""The oracle of `gdjax.optimizers.first_order.schedule_free_adamw`."""

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.first_order.schedule_free_sgd import averaging, warm_up
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


@per_leaf
def schedule_free_adamw(p, learning_rate, warmup_steps, b1, b2, eps, weight_decay, weight_lr_power, state_dtype):
    v = 0

    def rate(t):
        return warm_up(at(learning_rate, t), warmup_steps, t)

    def base(g, y, t):
        nonlocal v
        v = b2 * v + (1 - b2) * abs_sq(g)
        return -rate(t) * (g / (np.sqrt(v / (1 - b2**t)) + eps) + weight_decay * y)

    ahead = warmup_steps is not None  # as Optax, whose weights see the warm-up one step on
    yield from averaging(p, lambda t: rate(t + ahead), base, b1, weight_lr_power)


EXAMPLES = {
    "schedule_free_adamw": lambda: [
        o.schedule_free_adamw(0.01),
        o.schedule_free_adamw(0.01, warmup_steps=50, b1=0.95, weight_decay=0.1),
    ],
}

PARTS_FROM_OPTAX = {
    "schedule_free_adamw(learning_rate=0.01, warmup": "Optax divides the count of its warm-up in float32",
}

BY_PARAMETERS = {
    "schedule_free_adamw": "its reference takes an update as a difference of parameters",
}
