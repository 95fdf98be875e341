"""Oracles of `gdjax.optimizers.wrappers.cautious`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.wrappers.lift import Answer, heavy


def cautious(params, inner, floor):
    """Liang et al. 2024: entries that go uphill are left out, the others divided by the fraction that is kept."""
    step, answer = inner.start(params), None
    while True:
        seen = yield answer
        updates = []
        for u, g in zip(step(seen), seen.grads, strict=True):
            keep = (u.conj() * g).real < 0
            fraction = keep.mean() if keep.size else 0.0
            updates.append(np.where(keep, u / max(fraction, floor), np.zeros_like(u)))
        answer = Answer(updates)


def stable(params, inner, threshold):
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
    "cautious": lambda: [o.cautious(heavy()), o.cautious(o.adam(0.01), floor=0.6)],
    "stable": lambda: [o.stable(o.sgd(schedules.linear(0.3, 0.1, 7), 0.9), 0.5), o.stable(o.signum(0.01), 0.8)],
}

UNJUDGED = {
    "cautious": "whether an entry of no size agrees is decided by rounding, and with it the length of all others",
}
