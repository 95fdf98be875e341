"""The oracle of `gdjax.optimizers.first_order.prodigy`, over all leaves as one vector."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.first_order.polyak_sgd import flat, split
from gdjax.certify.oracles.lift import Path, abs_sq, at
from gdjax.certify.oracles.reasons import NORMS


def prodigy(
    params: list[np.ndarray],
    learning_rate: Any,
    betas: Any,
    beta3: Any,
    eps: Any,
    estim_lr0: Any,
    estim_lr_coef: Any,
    weight_decay: Any,
    safeguard_warmup: bool,
) -> Path:
    (b1, b2), d, start, updates = betas, estim_lr0, flat(params), None
    m, v, s, r, b3 = 0, 0, 0, 0, np.sqrt(b2) if beta3 is None else beta3
    for t in itertools.count(1):
        grads, params, _ = yield updates
        g, p = flat(grads), flat(params)
        c = d * at(learning_rate, t) * np.sqrt(1 - b2**t) / (1 - b1**t)
        m, v = b1 * m + (1 - b1) * d * g, b2 * v + (1 - b2) * abs_sq(d * g)
        s = b3 * s + (d if safeguard_warmup else c) * d / estim_lr0 * g
        r = b3 * r + d / estim_lr0 * c * np.vdot(g, start - p).real
        size = np.sum(np.abs(s))
        d = max(d, estim_lr_coef * r / size) if size > 0 else d
        updates = split(-c * m / (np.sqrt(v) + d * eps) - weight_decay * c * p, grads)


EXAMPLES = {
    "prodigy": lambda: [
        o.prodigy(),
        o.prodigy(0.5, (0.8, 0.99), beta3=0.9, estim_lr_coef=2.0, weight_decay=0.1, safeguard_warmup=True),
    ],
}

PARTS_FROM_OPTAX = {
    ("prodigy(", "complex128"): "Optax averages g² instead of |g|², and its distance is complex",
}

LEFT_OUT: dict[Any, Any] = {
    "prodigy": (("non_finite",), NORMS),
    ("prodigy", "optax"): (("zeros", "non_finite"), "Optax gives NaN for a zero gradient"),
}
