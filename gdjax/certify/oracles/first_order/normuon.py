"""The oracle of `gdjax.optimizers.first_order.normuon`, for leaves of two axes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.first_order.muon import nonempty_matrices, orthogonal_factor
from gdjax.certify.oracles.lift import Path, abs_sq, at
from gdjax.certify.oracles.masks import matrices

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def normuon(
    params: list[np.ndarray],
    learning_rate: Any,
    b1: Any,
    b2: Any,
    eps: Any,
    rms: Any,
    weight_decay: Any,
    weight_decay_mask: Any,
    ns_steps: int,
    adam_learning_rate: Any,
    weight_dimension_numbers: Any,
) -> Path:
    m: list = [0] * len(params)
    nu: list = [0] * len(params)
    updates = None
    for t in itertools.count(1):
        grads, params, _ = yield updates
        updates = []
        for i, (g, p) in enumerate(zip(grads, params, strict=True)):
            is_matrix = p.ndim == 2 and p.size > 0
            keep, slow = (b1, b2) if is_matrix else (0.9, 0.95)
            m[i] = keep * m[i] + (1 - keep) * g
            if is_matrix:
                with np.errstate(all="ignore"):
                    O = np.asarray(orthogonal_factor(m[i], NEWTON_SCHULZ, ns_steps, 1e-8, "frobenius"))
                    nu[i] = slow * nu[i] + (1 - slow) * np.array([np.mean(abs_sq(column)) for column in O.T])
                    D = O / (np.sqrt(nu[i]) + eps)
                    D = np.sqrt(p.size) * D / np.linalg.norm(D) if D.any() else D
                decay = at(weight_decay, t) * p if weight_decay_mask[i] else 0
                updates.append(-at(learning_rate, t) * (rms * D + decay))
            else:
                nu[i] = slow * nu[i] + (1 - slow) * abs_sq(g)
                d = m[i] / (1 - keep**t) / (np.sqrt(nu[i] / (1 - slow**t)) + 1e-8)
                updates.append(-at(learning_rate if adam_learning_rate is None else adam_learning_rate, t) * d)


EXAMPLES = {
    "normuon": lambda: [
        o.normuon(0.01, weight_dimension_numbers=nonempty_matrices),
        o.normuon(
            schedules.cosine(0.01, 1000),
            0.9,
            0.99,
            1e-6,
            1.0,
            weight_decay=0.1,
            weight_decay_mask=matrices,
            ns_steps=3,
            adam_learning_rate=0.02,
            weight_dimension_numbers=nonempty_matrices,
        ),
    ],
}
