"""The oracle of `gdjax.optimizers.second_order.nonlinear_cg`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import Path
from gdjax.certify.oracles.second_order.follow import join, part
from gdjax.certify.oracles.second_order.lbfgs import rate_at


def nonlinear_cg(
    params: list[np.ndarray], learning_rate: Any, method: Any, restart: Any, linesearch: Any = None
) -> Path:
    """Nocedal & Wright 2006, Algorithm 5.4 with the betas of its section 5.2."""
    old, d, step, u = None, np.zeros(0), 0, None
    while True:
        grads, _, _ = yield u
        g = join(grads)
        new = -g
        if old is not None and np.isfinite(g).all() and np.isfinite(d).all() and abs(g @ old) < restart * (g @ g):
            beta = _beta(method, g, old, d)
            bent = -g + beta * d if np.isfinite(beta) and rate_at(learning_rate, step - 1) * (d @ d) > 0 else -g
            new = bent if bent @ g < 0 else -g
        u, old, d, step = part(rate_at(learning_rate, step) * new, grads), g, new, step + 1


def _beta(method, g, old, d):
    y = g - old
    if method == "fletcher_reeves":
        return g @ g / (old @ old)
    if method == "polak_ribiere":
        return max(g @ y / (old @ old), 0)
    if method == "hestenes_stiefel":
        return max(g @ y / (d @ y), 0)
    if method == "dai_yuan":
        return g @ g / (d @ y)
    floor = -1 / (np.sqrt(d @ d) * min(0.01, np.sqrt(old @ old)))
    return max((y - 2 * d * (y @ y) / (d @ y)) @ g / (d @ y), floor)


EXAMPLES = {
    "nonlinear_cg": lambda: [
        o.nonlinear_cg(0.01, linesearch=None),
        o.nonlinear_cg(schedules.cosine(0.5, 1000), method="fletcher_reeves", restart=1e6, linesearch=None),
        o.nonlinear_cg(0.01, method="hestenes_stiefel", restart=0.5, linesearch=None),
        o.nonlinear_cg(0.01, method="dai_yuan", restart=1e6, linesearch=None),
        o.nonlinear_cg(0.01, method="hager_zhang", restart=1e6, linesearch=None),
    ],
}

LIMITS = {
    "nonlinear_cg(learning_rate=0.01, method='dai_yuan'": (1e-8, "d'y passes through 0 and divides"),
    "nonlinear_cg(learning_rate=0.01, method='hager_zhang'": (1e-8, "d'y passes through 0 and divides"),
}
