"""The oracle of `gdjax.optimizers.wrappers.stable`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped


def stable(params: list[np.ndarray], inner: Inner, threshold: Any) -> Wrapped:
    """Wortsman et al. 2023 with the update's own root mean square, in units of the rate."""
    step, answer = inner.start(params), None
    for t in itertools.count(1):
        seen = yield answer
        updates = []
        for u in step(seen):
            rms = np.sqrt(np.mean(np.abs(u) ** 2)) if u.size else 0.0
            longer = rms / inner.rate(t) / threshold if inner.rate(t) > 0 else 0.0
            updates.append(u / max(1.0, longer))
        answer = Answer(updates)


EXAMPLES = {
    "stable": lambda: [o.stable(o.sgd(schedules.linear(0.3, 0.1, 7), 0.9), 0.5), o.stable(o.signum(0.01), 0.8)],
}
