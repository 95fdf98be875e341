"""Oracles of `gdjax.optimizers.wrappers.cautious`."""

import itertools

import numpy as np

from gdjax.certify.oracles.wrappers.lift import Answer


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
