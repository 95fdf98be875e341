"""Oracle of `gdjax.optimizers.wrappers.tail_average`: the sum of the iterates taken, over their number."""

from __future__ import annotations

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, heavy


def tail_average(params: list[np.ndarray], inner: Inner, start: int, every: int) -> Wrapped:
    """Izmailov et al. 2018: the plain mean of the iterates taken."""
    step, answer, total, number = inner.start(params), None, [0 * p for p in params], 0
    for t in itertools.count(1):
        seen = yield answer
        updates = step(seen)
        after = [p + u for p, u in zip(seen.params, updates, strict=True)]
        if t > start and (t - start) % every == 0:
            total, number = [s + p for s, p in zip(total, after, strict=True)], number + 1
        answer = Answer(updates, [s / number for s in total] if number else after)


EXAMPLES = {
    "tail_average": lambda: [
        o.tail_average(heavy(), 3, 2),
        o.tail_average(o.sgd(0.1)),
        o.tail_average(o.sgd(0.1), start=4),
    ],
}
