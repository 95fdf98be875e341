"""Oracle of `gdjax.optimizers.wrappers.skip_non_finite`."""

from __future__ import annotations

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, heavy


def skip_non_finite(params: list[np.ndarray], inner: Inner, max_consecutive: int) -> Wrapped:
    step, answer, in_a_row, in_all, skipped = inner.start(params), None, 0, 0, 0
    while True:
        seen = yield answer
        good = all(np.isfinite(g).all() for g in seen.grads)
        in_a_row, in_all = (0, in_all) if good else (in_a_row + 1, in_all + 1)
        lets_through = max_consecutive is not None and in_a_row > max_consecutive
        updates = step(seen) if good or lets_through else [0 * p for p in params]
        skipped += not (good or lets_through)
        answer = Answer(updates, shown={"notfinite_count": in_a_row, "total_notfinite": in_all, "skipped": skipped})


EXAMPLES = {
    "skip_non_finite": lambda: [o.skip_non_finite(heavy()), o.skip_non_finite(heavy(), max_consecutive=2)],
}
