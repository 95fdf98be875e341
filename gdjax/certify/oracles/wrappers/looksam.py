"""Oracle of `gdjax.optimizers.wrappers.looksam`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.reasons import NORMS
from gdjax.certify.oracles.wrappers.gsam import across
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, heavy, norm, over
from gdjax.certify.oracles.wrappers.sam import uphill


def looksam(params: list[np.ndarray], inner: Inner, rho: Any, alpha: Any, period: int) -> Wrapped:
    """Liu et al. 2022, Algorithm 1."""
    step, answer, v = inner.start(params), None, [0 * p for p in params]
    for t in itertools.count(0):
        seen = yield answer
        g = seen.grads
        if t % period == 0:
            fed = seen.gradient(uphill(seen.params, g, rho))
            v = across(fed, g)
        else:
            factor = over(alpha * norm(g), norm(v))
            fed = [a + factor * b for a, b in zip(g, v, strict=True)]
        answer = Answer(step(seen, fed))


EXAMPLES = {
    "looksam": lambda: [o.looksam(o.sgd(0.1), 0.5, period=3), o.looksam(heavy(), 0.2, alpha=0.3, period=4)],
}

LEFT_OUT: dict[str, Any] = {
    "looksam": (("non_finite", "ravine", "huge"), f"{NORMS}; where |g| is 1e4 and more, so are the steps that v gives"),
}

SHORT = {
    "looksam": (40, "a step from memory goes |g| far along what the path has been, and rounding with it"),
}
