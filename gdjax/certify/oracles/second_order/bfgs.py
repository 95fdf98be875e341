"""The oracle of `gdjax.optimizers.second_order.bfgs`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import Path
from gdjax.certify.oracles.second_order.follow import join, part
from gdjax.certify.oracles.second_order.lbfgs import bowl_like, inverse_norm, rate_at


def bfgs(params: list[np.ndarray], learning_rate: Any, linesearch: Any = None) -> Path:
    """Nocedal & Wright 2006, equations 6.17 and 6.20."""
    inverse, last, step, u = None, None, 0, None
    while True:
        grads, now, _ = yield u
        x, g = join(now), join(grads)
        identity = np.eye(g.size)
        if last is not None:
            s, y = x - last[0], g - last[1]
            if bowl_like(s, y):
                before = identity * (s @ y / (y @ y)) if inverse is None else inverse
                half = before - np.outer(s, y @ before) / (s @ y)  # (I - s y'/s'y) H, then times its transpose
                inverse = half - np.outer(half @ y, s) / (s @ y) + np.outer(s, s) / (s @ y)
            elif not (y != 0).any():
                inverse = None
        d = inverse_norm(g) * g if inverse is None or not np.isfinite(g).all() else inverse @ g
        u, last, step = part(-rate_at(learning_rate, step) * d, grads), (x, g), step + 1


EXAMPLES = {
    "bfgs": lambda: [o.bfgs(0.01, linesearch=None), o.bfgs(schedules.cosine(0.5, 1000), linesearch=None)],
}

LIMITS = {
    "bfgs(": (1e-8, "pairs with s'y near 0 make an inverse Hessian of any condition: in noise 9e-10, elsewhere 5e-12"),
}

LEFT_OUT: dict[Any, Any] = {
    "bfgs": (("large",), "it shrinks to nothing beside the other leaves, whose rounding the matrix mixes into it"),
    ("bfgs", "descent"): (
        ("zeros", "noise"),
        "without a search and a slope its matrix grows without end; how fast is decided by rounding",
    ),
}

FED: dict[str, Callable[..., Any]] = {
    "bfgs": lambda recording: recording.few(8),  # it keeps a matrix of all parameters by all of them
}
