"""The oracle of `gdjax.optimizers.wrappers.cautious`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, heavy


def cautious(params: list[np.ndarray], inner: Inner, floor: Any) -> Wrapped:
    """Liang et al. 2024: entries that go uphill are left out, the others divided by the fraction that is kept."""
    step, answer = inner.start(params), None
    while True:
        seen = yield answer
        updates = []
        for u, g in zip(step(seen), seen.grads, strict=True):
            keep = np.real(u.conj() * g) < 0
            fraction = keep.mean() if keep.size else 0.0
            updates.append(np.where(keep, u / max(fraction, floor), np.zeros_like(u)))
        answer = Answer(updates)


EXAMPLES = {
    "cautious": lambda: [o.cautious(heavy()), o.cautious(o.adam(0.01), floor=0.6)],
}

SHORT = {
    "cautious": (
        400,
        "whether an entry of no size agrees is rounding in the end, and decides the length of all others",
    ),
}

UNJUDGED = {
    "cautious": "whether an entry of no size agrees is decided by rounding, and with it the length of all others",
}
