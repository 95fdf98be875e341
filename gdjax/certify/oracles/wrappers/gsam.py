"""Oracle of `gdjax.optimizers.wrappers.gsam`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.reasons import NORMS
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, inner_product, over
from gdjax.certify.oracles.wrappers.sam import uphill


def across(x: list[np.ndarray], along: list[np.ndarray]) -> list[np.ndarray]:
    """What of x is orthogonal to another."""
    share = over(inner_product(along, x), inner_product(along, along))
    return [a - share * b for a, b in zip(x, along, strict=True)]


def gsam(params: list[np.ndarray], inner: Inner, rho: Any, alpha: Any) -> Wrapped:
    """Zhuang et al. 2022, Algorithm 1."""
    step, answer = inner.start(params), None
    while True:
        seen = yield answer
        above = seen.gradient(uphill(seen.params, seen.grads, rho))
        gap = across(seen.grads, above)
        answer = Answer(step(seen, [h - alpha * v for h, v in zip(above, gap, strict=True)]))


EXAMPLES = {
    "gsam": lambda: [o.gsam(o.sgd(0.01), 0.5), o.gsam(o.sgd(0.01), 0.2, 1.5)],
}

LEFT_OUT: dict[str, Any] = {
    "gsam: complex128": (
        ("non_finite", "ravine", "huge", "rosenbrock"),
        "what of g is orthogonal to h is a difference, and the path follows it",
    ),
    "gsam": (
        ("non_finite", "ravine", "huge"),
        f"{NORMS}; where |g| is 1e4 and more beside |h| <= 1, what of g is orthogonal to h is mostly rounding",
    ),
}

LIMITS = {
    "gsam: oracle": (1e-11, "what of g is orthogonal to h is a difference, and the path follows it"),
}
