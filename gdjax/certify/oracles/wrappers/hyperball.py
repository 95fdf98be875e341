"""The oracle of `gdjax.optimizers.wrappers.hyperball`, for masks of matrices."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import at
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, over

OTHERS = dict.fromkeys(("empty", "scalar", "vector"), False)


def hyperball(params: list[np.ndarray], inner: Inner, learning_rate: Any, mask: Any) -> Wrapped:
    """Wen et al. 2026: p <- R unit(p + rate R unit(u)), for each matrix."""
    step, answer = inner.start(params), None
    radii = [np.linalg.norm(p) for p in params]
    for t in itertools.count(1):
        seen = yield answer
        updates = list(step(seen))
        for i, (p, u, radius) in enumerate(zip(seen.params, updates, radii, strict=True)):
            if mask[i] and p.ndim > 1 and radius > 0:
                ahead = p + at(learning_rate, t) * radius * over(u, np.linalg.norm(u))
                updates[i] = radius * ahead / np.linalg.norm(ahead) - p
        answer = Answer(updates)


EXAMPLES = {
    "hyperball": lambda: [
        o.hyperball(o.sgd(0.01, 0.9), 0.02),
        o.hyperball(o.adam(0.01), schedules.linear(0.1, 0.01, 8), mask={"matrix": True, "large": False, **OTHERS}),
    ],
}

BY_PARAMETERS = {
    "hyperball": "its updates are differences of parameters",
}
