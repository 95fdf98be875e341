"""The oracle of `gdjax.optimizers.first_order.dpsgd`. The noise is drawn by JAX from the same keys; all else is NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.calls import as_key
from gdjax.certify.oracles.draws import split_normals
from gdjax.certify.oracles.lift import Path, abs_sq, at


def dpsgd(
    params: list[np.ndarray],
    learning_rate: Any,
    l2_norm_clip: Any,
    noise_multiplier: Any,
    seed: int,
    momentum: Any,
    nesterov: bool,
) -> Path:
    key, updates = as_key(seed), None
    trace = [0.0 for _ in params]
    for t in itertools.count(1):
        grads, _, _ = yield updates
        key, noise = split_normals(key, tuple((g.shape[1:], g.dtype.name) for g in grads), twice=False)
        norms = np.sqrt(sum(abs_sq(g).reshape(len(g), -1).sum(axis=1) for g in grads))
        kept = np.minimum(1, l2_norm_clip / np.where(norms > 0, norms, np.inf if l2_norm_clip == 0 else l2_norm_clip))
        updates = []
        for i, g in enumerate(grads):
            total = sum(share * example for share, example in zip(kept, g, strict=True))
            mean = (total + l2_norm_clip * noise_multiplier * noise[i]) / len(g)
            if momentum is not None:
                trace[i] = mean + at(momentum, t) * trace[i]
                mean = (mean + at(momentum, t) * trace[i]) if nesterov else trace[i]
            updates.append(-at(learning_rate, t) * mean)


EXAMPLES = {
    "dpsgd": lambda: [
        o.dpsgd(0.01, 1.0, 0.0, 3),  # without noise, that the laws about updates hold
        o.dpsgd(0.01, 0.5, 0.1, 3, momentum=0.9),
        o.dpsgd(schedules.cosine(0.01, 1000), 2.0, 1.0, 5, momentum=0.9, nesterov=True),
    ],
}

FED: dict[str, Callable[..., Any]] = {
    "dpsgd": lambda recording: recording.per_example(4),  # the gradients of the last four steps
}
