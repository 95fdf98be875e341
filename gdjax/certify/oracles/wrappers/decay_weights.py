"""Oracle of `gdjax.optimizers.wrappers.decay_weights`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import PerLeaf, at
from gdjax.certify.oracles.masks import matrices
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, heavy


def decay_weights(params: list[np.ndarray], inner: Inner, weight_decay: Any, mask: Any) -> Wrapped:
    """Loshchilov & Hutter 2019: the decay is beside the inner update, at its rate."""
    step, answer = inner.start(params), None
    decays = mask if isinstance(mask, PerLeaf) else [True] * len(params)
    for t in itertools.count(1):
        seen = yield answer
        share = inner.rate(t) * at(weight_decay, t)
        each = zip(step(seen), seen.params, decays, strict=True)
        answer = Answer([u - share * p if c else u for u, p, c in each])


EXAMPLES = {
    "decay_weights": lambda: [
        o.decay_weights(heavy(), 0.1),
        o.decay_weights(o.sgd(schedules.linear(0.1, 0.01, 10)), schedules.linear(0.0, 0.3, 9), mask=matrices),
    ],
}
