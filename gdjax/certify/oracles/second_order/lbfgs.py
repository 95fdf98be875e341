"""The oracle of `gdjax.optimizers.second_order.lbfgs`, without a line search: directions times a rate, on one vector."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import Path, at
from gdjax.certify.oracles.second_order.follow import join, part

TINY, ROUNDING = np.finfo(float).tiny, np.sqrt(np.finfo(float).eps)


def inverse_norm(g: np.ndarray) -> Any:
    """1/|g|, at most 1."""
    norm = np.sqrt(g @ g)
    return 1 / max(norm, 1) if np.isfinite(norm) else 1.0


def bowl_like(s: np.ndarray, y: np.ndarray) -> Any:
    """s'y positive beyond rounding: a bowl of condition number below 1/eps has s'y >= sqrt(eps) |s| |y|."""
    return max(TINY, ROUNDING * np.sqrt(s @ s) * np.sqrt(y @ y)) < s @ y < np.inf and y @ y < np.inf


def rate_at(learning_rate: Any, step: int) -> Any:
    return 1.0 if learning_rate is None else at(learning_rate, step + 1)


def lbfgs(
    params: list[np.ndarray], learning_rate: Any, memory_size: int, scale_init_precond: bool, linesearch: Any = None
) -> Path:
    """Nocedal & Wright 2006, Algorithms 7.4 and 7.5."""
    pairs, scale, last, step, u = deque(maxlen=memory_size), 0.0, None, 0, None
    while True:
        grads, now, _ = yield u
        x, g = join(now), join(grads)
        changed = True
        s, y = (x - last[0], g - last[1]) if last is not None else (0 * x, g)
        good = bowl_like(s, y)
        if good:
            scale = s @ y / (y @ y)
        elif not scale and y.any():
            scale = inverse_norm(y)
        if last is not None:
            pairs.append((s, y) if good else None)
            changed = y.any()
        usable = [pair for pair in pairs if pair is not None] if changed and np.isfinite(g).all() else []
        q, alphas = g.copy(), []
        for s, y in reversed(usable):
            alphas.append(s @ q / (s @ y))
            q = q - alphas[-1] * y
        d = q * (scale if scale_init_precond else 1.0)
        for s, y in usable:
            d = d + s * (alphas.pop() - y @ d / (s @ y))
        u, last, step = part(-rate_at(learning_rate, step) * d, grads), (x, g), step + 1


EXAMPLES = {
    "lbfgs": lambda: [
        o.lbfgs(0.01, linesearch=None),
        o.lbfgs(schedules.cosine(0.5, 1000), memory_size=3, scale_init_precond=False, linesearch=None),
    ],
}

LIMITS = {
    "lbfgs(": (3e-11, "pairs of noise that nearly depend on each other magnify the rounding of either order of sums"),
}

PARTS_FROM_OPTAX = {
    ("lbfgs(", "float64"): "Optax keeps pairs of negative curvature and of infinite gradients",
    ("lbfgs(", "complex128"): "Optax keeps pairs of negative curvature and of infinite gradients",
}
