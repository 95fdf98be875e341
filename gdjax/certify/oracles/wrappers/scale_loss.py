"""Oracle of `gdjax.optimizers.wrappers.scale_loss`."""

from __future__ import annotations

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, heavy


def scale_loss(
    params: list[np.ndarray],
    inner: Inner,
    init_scale: float,
    growth_factor: float,
    backoff_factor: float,
    growth_interval: int,
) -> Wrapped:
    step, answer, scale, in_a_row, skipped = inner.start(params), None, init_scale, 0, 0
    while True:
        seen = yield answer
        if all(np.isfinite(g).all() for g in seen.grads):
            updates, in_a_row = step(seen), in_a_row + 1
            if in_a_row == growth_interval:
                scale, in_a_row = min(growth_factor * scale, 2.0**24), 0
        else:
            updates, in_a_row, skipped = [0 * p for p in params], 0, skipped + 1
            scale = max(backoff_factor * scale, 2.0**-24)
        answer = Answer(updates, shown={"loss_scale": scale, "good_steps": in_a_row, "skipped": skipped})


EXAMPLES = {
    "scale_loss": lambda: [
        o.scale_loss(heavy(), growth_interval=3),
        o.scale_loss(heavy(), 2.0**-22, 4.0, 0.25, growth_interval=1),
    ],
}
