"""Oracle of `gdjax.optimizers.wrappers.lookahead`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, heavy


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
    "lookahead": lambda: [
        o.lookahead(heavy(), 4, 0.3),
        o.lookahead(heavy(), 3, 0.8, reset_state=True),
    ],
}

BY_PARAMETERS = {
    "lookahead": "its updates are differences of parameters",
}

LEFT_OUT: dict[str, Any] = {
    "lookahead: optax": (("non_finite",), "Optax multiplies what is not finite by 0"),
}
