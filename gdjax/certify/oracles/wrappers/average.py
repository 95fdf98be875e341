"""Oracles of `gdjax.optimizers.wrappers.average`: sums of weighted iterates p_1, ..., p_t, over the sum of the weights."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import at
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, heavy


def average(params: list[np.ndarray], inner: Inner, decay: Any, debias: bool) -> Wrapped:
    """Each iterate has weight 1 - decay when it comes, and loses the share 1 - decay of it at each later step."""
    step, answer = inner.start(params), None
    total = [0 * p if debias else p for p in params]
    weight = 0.0 if debias else 1.0
    for t in itertools.count(1):
        seen = yield answer
        updates, d = step(seen), at(decay, t)
        total = [d * s + (1 - d) * (p + u) for s, p, u in zip(total, seen.params, updates, strict=True)]
        weight = d * weight + (1 - d)
        answer = Answer(updates, [s / weight for s in total])


def tail_average(params: list[np.ndarray], inner: Inner, start: int, every: int) -> Wrapped:
    """Izmailov et al. 2018: the plain mean of the iterates taken."""
    step, answer, total, number = inner.start(params), None, [0 * p for p in params], 0
    for t in itertools.count(1):
        seen = yield answer
        updates = step(seen)
        moved = [p + u for p, u in zip(seen.params, updates, strict=True)]
        if t > start and (t - start) % every == 0:
            total, number = [s + p for s, p in zip(total, moved, strict=True)], number + 1
        answer = Answer(updates, [s / number for s in total] if number else moved)


def lookahead(
    params: list[np.ndarray], fast_optimizer: Inner, sync_period: int, slow_step_size: Any, reset_state: bool
) -> Wrapped:
    """Zhang et al. 2019, Algorithm 1: k fast steps, then phi <- phi + alpha (theta - phi), theta <- phi."""
    step, answer, slow = fast_optimizer.start(params), None, params
    for t in itertools.count(1):
        seen = yield answer
        updates = step(seen)
        if t % sync_period == 0:
            fast = [p + u for p, u in zip(seen.params, updates, strict=True)]
            slow = [s + slow_step_size * (f - s) for s, f in zip(slow, fast, strict=True)]
            updates = [s - p for s, p in zip(slow, seen.params, strict=True)]
            step = fast_optimizer.start(params) if reset_state else step
        answer = Answer(updates, slow)


EXAMPLES = {
    "average": lambda: [o.average(heavy(), 0.9), o.average(o.sgd(0.1), schedules.linear(0.3, 0.9, 8), debias=False)],
    "tail_average": lambda: [
        o.tail_average(heavy(), 3, 2),
        o.tail_average(o.sgd(0.1)),
        o.tail_average(o.sgd(0.1), start=4),
    ],
    "lookahead": lambda: [
        o.lookahead(heavy(), 4, 0.3),
        o.lookahead(heavy(), 3, 0.8, reset_state=True),
    ],
}

BY_PARAMETERS = {
    "lookahead": "its updates are differences of parameters",
}

LEFT_OUT = {
    "lookahead: optax": (("non_finite",), "Optax multiplies what is not finite by 0"),
}
