"""The oracle of `gdjax.optimizers.first_order.dadapt_adamw`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.first_order.polyak_sgd import flat, split
from gdjax.certify.oracles.lift import Path, abs_sq, at
from gdjax.certify.oracles.reasons import NORMS


def dadapt_adamw(
    params: list[np.ndarray], learning_rate: Any, betas: Any, eps: Any, estim_lr0: Any, weight_decay: Any
) -> Path:
    (b1, b2), d, updates = betas, estim_lr0, None
    m, v, s, r, root = 0, 0, 0, 0, np.sqrt(b2)
    for t in itertools.count(1):
        grads, params, _ = yield updates
        g, p = flat(grads), flat(params)
        c = d * at(learning_rate, t) * np.sqrt(1 - b2**t) / (1 - b1**t)
        r = root * r + (1 - root) * c * np.vdot(g, s / (np.sqrt(v) + eps) + 0 * g).real
        m, v = b1 * m + (1 - b1) * c * g, b2 * v + (1 - b2) * abs_sq(g)
        s = root * s + (1 - root) * c * g
        size = (1 - root) * np.sum(np.abs(s))
        updates = split(-m / (np.sqrt(v) + eps) - weight_decay * c * p, grads)
        d = max(d, r / size) if size > 0 else d


EXAMPLES = {
    "dadapt_adamw": lambda: [o.dadapt_adamw(), o.dadapt_adamw(0.5, (0.8, 0.99), weight_decay=0.1)],
}

PARTS_FROM_OPTAX = {
    ("dadapt_adamw(", "complex128"): "Optax averages g² instead of |g|²",
}

LEFT_OUT: dict[Any, Any] = {
    "dadapt_adamw": (("non_finite",), NORMS),
    ("dadapt_adamw", "descent"): (
        ("huge", "non_finite"),
        "its distances, squared, are beyond 32 bits; in 16 bits it is meant for `master_weights`",
    ),
    ("dadapt_adamw", "optax"): (("zeros", "non_finite"), "Optax gives NaN for a zero gradient"),
}
