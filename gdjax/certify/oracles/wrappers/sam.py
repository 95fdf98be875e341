"""Oracle of `gdjax.optimizers.wrappers.sam`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.reasons import NORMS
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, heavy, norm, over


def uphill(params: list[np.ndarray], grads: list[np.ndarray], rho: Any) -> list[np.ndarray]:
    """Foret et al. 2021: p + rho g / |g|."""
    return [p + over(rho * g, norm(grads)) for p, g in zip(params, grads, strict=True)]


def sam(params: list[np.ndarray], inner: Inner, rho: Any, adaptive: bool, eta: Any, steps: int) -> Wrapped:
    """Adaptive, Kwon et al. 2021: p + rho T² g / |T g| with T = |p| + eta."""
    step, answer = inner.start(params), None
    while True:
        seen = yield answer
        grads, point = seen.grads, seen.params
        for _ in range(steps):
            if adaptive:
                sizes = [np.abs(p) + eta for p in point]
                length = norm([s * g for s, g in zip(sizes, grads, strict=True)])
                point = [p + over(rho * s**2 * g, length) for p, s, g in zip(point, sizes, grads, strict=True)]
            else:
                point = uphill(point, grads, rho)
            grads = seen.gradient(point)
        answer = Answer(step(seen, grads))


EXAMPLES = {
    "sam": lambda: [
        o.sam(o.sgd(0.1), 0.5),
        o.sam(o.sgd(0.1), 0.5, adaptive=True, eta=0.3),
        o.sam(heavy(), 0.2, steps=3),
        o.sam(o.sgd(0.1), 0.4, adaptive=True, eta=0.05, steps=2),
    ],
}

LEFT_OUT: dict[str, Any] = {
    "sam": (("non_finite",), NORMS),
}

SHORT = {
    "sam": (100, "near a minimum the direction of the gradient is rounding, and the path follows it"),
}

LIMITS = {
    "sam: oracle": (1e-10, "the path follows the slope, and what rounding has left goes with it"),
}
