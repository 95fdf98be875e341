"""Oracles of `gdjax.optimizers.wrappers.sam`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.reasons import NORMS
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, heavy, inner_product, norm, over


def _uphill(params, grads, rho):
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
                point = _uphill(point, grads, rho)
            grads = seen.gradient(point)
        answer = Answer(step(seen, grads))


def _across(x, along):
    """What of x is orthogonal to another."""
    share = over(inner_product(along, x), inner_product(along, along))
    return [a - share * b for a, b in zip(x, along, strict=True)]


def gsam(params: list[np.ndarray], inner: Inner, rho: Any, alpha: Any) -> Wrapped:
    """Zhuang et al. 2022, Algorithm 1."""
    step, answer = inner.start(params), None
    while True:
        seen = yield answer
        above = seen.gradient(_uphill(seen.params, seen.grads, rho))
        gap = _across(seen.grads, above)
        answer = Answer(step(seen, [h - alpha * v for h, v in zip(above, gap, strict=True)]))


def looksam(params: list[np.ndarray], inner: Inner, rho: Any, alpha: Any, period: int) -> Wrapped:
    """Liu et al. 2022, Algorithm 1."""
    step, answer, v = inner.start(params), None, [0 * p for p in params]
    for t in itertools.count(0):
        seen = yield answer
        g = seen.grads
        if t % period == 0:
            fed = seen.gradient(_uphill(seen.params, g, rho))
            v = _across(fed, g)
        else:
            factor = over(alpha * norm(g), norm(v))
            fed = [a + factor * b for a, b in zip(g, v, strict=True)]
        answer = Answer(step(seen, fed))


EXAMPLES = {
    "gsam": lambda: [o.gsam(o.sgd(0.01), 0.5), o.gsam(o.sgd(0.01), 0.2, 1.5)],
    "looksam": lambda: [o.looksam(o.sgd(0.1), 0.5, period=3), o.looksam(heavy(), 0.2, alpha=0.3, period=4)],
    "sam": lambda: [
        o.sam(o.sgd(0.1), 0.5),
        o.sam(o.sgd(0.1), 0.5, adaptive=True, eta=0.3),
        o.sam(heavy(), 0.2, steps=3),
        o.sam(o.sgd(0.1), 0.4, adaptive=True, eta=0.05, steps=2),
    ],
}

LEFT_OUT: dict[str, Any] = {
    "gsam: complex128": (
        ("non_finite", "ravine", "huge", "rosenbrock"),
        "what of g is orthogonal to h is a difference, and the path follows it",
    ),
    "sam": (("non_finite",), NORMS),
    "looksam": (("non_finite", "ravine", "huge"), f"{NORMS}; where |g| is 1e4 and more, so are the steps that v gives"),
    "gsam": (
        ("non_finite", "ravine", "huge"),
        f"{NORMS}; where |g| is 1e4 and more beside |h| <= 1, what of g is orthogonal to h is mostly rounding",
    ),
}

SHORT = {
    "sam": (100, "near a minimum the direction of the gradient is rounding, and the path follows it"),
    "looksam": (40, "a step from memory goes |g| far along what the path has been, and rounding with it"),
}

LIMITS = {
    "sam: oracle": (1e-10, "the path follows the slope, and what rounding has left goes with it"),
    "gsam: oracle": (1e-11, "what of g is orthogonal to h is a difference, and the path follows it"),
}
