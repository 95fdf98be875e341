"""Oracle of `gdjax.optimizers.wrappers.reduce_on_plateau`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, heavy


def reduce_on_plateau(
    params: list[np.ndarray],
    inner: Inner,
    factor: Any,
    patience: int,
    rtol: Any,
    atol: Any,
    cooldown: int,
    min_scale: Any,
) -> Wrapped:
    """Each new evaluation once, as torch's scheduler takes an epoch's: better, or one more of `patience`."""
    step, answer = inner.start(params), None
    scale, best, bad, cooling, known = 1.0, math.inf, 0, 0, 0
    while True:
        seen = yield answer
        value, number = seen.evaluation
        if number > known:
            known, was_cooling = number, cooling > 0
            cooling = max(cooling - 1, 0)
            if value < (best if math.isinf(best) else best - max(rtol * abs(best), atol)):
                best, bad = value, 0
            elif was_cooling:
                bad = 0
            elif not math.isnan(value):
                bad += 1
            if bad >= patience:
                scale, bad, cooling = max(scale * factor, min_scale), 0, cooldown
        answer = Answer([scale * u for u in step(seen)], shown={"rate_scale": scale})


EXAMPLES = {
    "reduce_on_plateau": lambda: [
        o.reduce_on_plateau(o.sgd(0.01), factor=0.5, patience=2, rtol=0.1, min_scale=1e-3),
        o.reduce_on_plateau(heavy(), factor=0.3, patience=1, rtol=0.2, atol=0.04, cooldown=2, min_scale=0.01),
        o.reduce_on_plateau(o.sgd(0.01), patience=1, rtol=0.0, min_scale=1e-30),
    ],
}
