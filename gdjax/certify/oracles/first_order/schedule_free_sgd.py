"""The oracle of `gdjax.optimizers.first_order.schedule_free_sgd`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import Path, at, per_leaf


def warm_up(rate: Any, warmup_steps: Any, t: int) -> Any:
    """The rate at step t - 1 of a warm-up from 0."""
    return rate if warmup_steps is None else rate * min(1.0, (t - 1) / warmup_steps)


def averaging(
    p: np.ndarray, rate_at: Callable[[int], Any], base: Callable[[Any, Any, int], Any], b1: Any, power: Any
) -> Path:
    """One leaf's schedule-free path around base(g, p, t) -> update, in extended precision: it takes differences."""
    extended = np.result_type(p.dtype, np.longdouble)
    z, total, largest, u = p.astype(extended), 0.0, 0.0, None
    for t in itertools.count(1):
        g, y, _ = yield u
        g, y = g.astype(extended), y.astype(extended)
        largest = max(largest, rate_at(t))
        weight = largest**power
        total += weight
        c = weight / total if total > 0 else 0.0
        x = (y - (1 - b1) * z) / b1
        z = z + base(g, y, t)
        x = (1 - c) * x + c * z
        u = b1 * x + (1 - b1) * z - y


@per_leaf
def schedule_free_sgd(p, learning_rate, warmup_steps, b1, weight_decay, weight_lr_power, state_dtype):
    def rate(t):
        return warm_up(at(learning_rate, t), warmup_steps, t)

    def base(g, y, t):
        return -rate(t) * (g + (weight_decay or 0) * y)

    ahead = warmup_steps is not None  # as Optax, whose weights see the warm-up one step on
    yield from averaging(p, lambda t: rate(t + ahead), base, b1, weight_lr_power)


EXAMPLES = {
    "schedule_free_sgd": lambda: [
        o.schedule_free_sgd(0.01),
        o.schedule_free_sgd(0.01, warmup_steps=50, weight_decay=0.1, weight_lr_power=1.0),
    ],
}

PARTS_FROM_OPTAX = {
    "schedule_free_sgd(learning_rate=0.01, warmup": "Optax divides the count of its warm-up in float32",
}

BY_PARAMETERS = {
    "schedule_free_sgd": "its reference takes an update as a difference of parameters",
}
