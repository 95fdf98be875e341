"""The oracle of `gdjax.optimizers.transforms.cautious_weight_decay`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import at
from gdjax.certify.oracles.masks import matrices
from gdjax.certify.oracles.wrappers.lift import Answer, Wrapped


def cautious_weight_decay(params: list[np.ndarray], weight_decay: Any, mask: Any) -> Wrapped:
    """Chen et al. 2025: u + lambda [u x >= 0] x, where a mask allows it."""
    answer = None
    for t in itertools.count(1):
        seen = yield answer
        updates = []
        for g, p, decays in zip(seen.grads, seen.params, mask, strict=True):
            agrees = np.real(g) * np.real(p) + np.imag(g) * np.imag(p) >= 0
            updates.append(g + at(weight_decay, t) * np.where(agrees & decays, p, 0))
        answer = Answer(updates)


SHORT = {
    "cautious_weight_decay": (100, "alone it goes along the gradient, uphill and beyond float32"),
}

EXAMPLES = {
    "cautious_weight_decay": lambda: [
        o.cautious_weight_decay(0.1),
        o.cautious_weight_decay(schedules.linear(0.0, 0.3, 9), mask=matrices),
    ],
}
