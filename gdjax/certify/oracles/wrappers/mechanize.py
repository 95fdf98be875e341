"""Oracle of `gdjax.optimizers.wrappers.mechanize`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, inner_product, norm


def mechanize(
    params: list[np.ndarray], base_optimizer: Inner, weight_decay: Any, eps: Any, s_init: Any, num_betas: Any
) -> Wrapped:
    """Cutkosky, Defazio & Mehta 2023, Algorithm 1, with Optax's eps under every fraction.

    Delta is the base optimizer's path, x - x0 = sum(s) Delta. Rewards come in clipped to what |h| has been before.
    """
    step, answer, x0 = base_optimizer.start(params), None, params
    betas = np.array([1 - 0.1**i for i in range(1, num_betas + 1)])
    r, m, v, s = (np.zeros(num_betas) for _ in range(4))
    s = s + s_init
    while True:
        seen = yield answer
        base = step(seen)
        delta = [(x - start) / (s.sum() + eps) for x, start in zip(seen.params, x0, strict=True)]
        pull = weight_decay * s.sum() * norm(seen.grads) / (norm(seen.params) + eps)
        h = -inner_product([g + pull * x for g, x in zip(seen.grads, seen.params, strict=True)], delta)
        known = m
        m = np.maximum(betas * m, abs(h) + eps)
        v = betas**2 * v + h**2
        r = betas * r + np.clip(h, -known, known) * s
        s = (s_init / num_betas * m + np.maximum(r, 0)) / (np.sqrt(v) + eps)
        target = [start + s.sum() * (d + u) for start, d, u in zip(x0, delta, base, strict=True)]
        answer = Answer([x - p for x, p in zip(target, seen.params, strict=True)])


EXAMPLES = {
    "mechanize": lambda: [o.mechanize(o.sgd(1.0), s_init=0.01), o.mechanize(o.adam(0.1), 0.0, s_init=0.1, num_betas=3)],
}

BY_PARAMETERS = {
    "mechanize": "its updates are differences of parameters",
}

LEFT_OUT = {
    "mechanize: float32": (("huge",), "h² is beyond float32"),
}

SHORT = {
    "mechanize": (40, "its scales grow as wealth does, and what rounding has left grows with them"),
}
