"""Oracle of `gdjax.optimizers.wrappers.average`: sums of weighted iterates p_1, ..., p_t, over the sum of the weights."""

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


EXAMPLES = {
    "average": lambda: [o.average(heavy(), 0.9), o.average(o.sgd(0.1), schedules.linear(0.3, 0.9, 8), debias=False)],
}
