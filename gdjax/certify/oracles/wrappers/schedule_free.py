"""Oracle of `gdjax.optimizers.wrappers.schedule_free`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import at
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped


def schedule_free(
    params: list[np.ndarray], base_optimizer: Inner, learning_rate: Any, b1: Any, weight_lr_power: Any, state_dtype: Any
) -> Wrapped:
    """Defazio et al. 2024, Algorithm 1: x the average of all z, y between the two."""
    step, answer = base_optimizer.start(params), None
    x, z, total, largest = params, params, 0.0, 0.0
    for t in itertools.count(1):
        seen = yield answer
        largest = max(largest, at(learning_rate, t))
        weight = largest**weight_lr_power
        total += weight
        c = weight / total if total > 0 else 0.0
        z = [a + u for a, u in zip(z, step(seen), strict=True)]
        x = [(1 - c) * a + c * b for a, b in zip(x, z, strict=True)]
        target = [b1 * a + (1 - b1) * b for a, b in zip(x, z, strict=True)]
        answer = Answer([y - p for y, p in zip(target, seen.params, strict=True)], list(map(np.asarray, x)))


EXAMPLES = {
    "schedule_free": lambda: [
        o.schedule_free(o.sgd(0.1), 0.1),
        o.schedule_free(o.sgd(schedules.linear(0.1, 0.02, 8)), schedules.linear(0.1, 0.02, 8)),
        o.schedule_free(
            o.sgd(schedules.linear(0.0, 0.1, 8)), schedules.linear(0.0, 0.1, 8), b1=0.7, weight_lr_power=1.0
        ),
    ],
}

BY_PARAMETERS = {
    "schedule_free": "its updates are differences of parameters",
}
