"""Oracle of `gdjax.optimizers.wrappers.accumulate`."""

from __future__ import annotations

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import at
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, heavy


def accumulate(params: list[np.ndarray], inner: Inner, every: int) -> Wrapped:
    step, answer, batch, made = inner.start(params), None, [], 0
    while True:
        seen = yield answer
        batch.append(seen.grads)
        updates = [0 * p for p in params]
        if len(batch) >= at(every, made + 1):
            updates = step(seen, [sum(gs) / len(batch) for gs in zip(*batch, strict=True)])
            batch, made = [], made + 1
        answer = Answer(updates, shown={"mini_step": len(batch), "gradient_step": made})


EXAMPLES = {
    "accumulate": lambda: [o.accumulate(heavy(), 3), o.accumulate(o.adam(0.01), schedules.linear(1.0, 4.0, 3))],
}

LEFT_OUT = {
    "accumulate: optax": (("non_finite",), "Optax's running mean does not let go of what is not finite"),
}

LIMITS = {
    "accumulate: optax": (1e-6, "Optax takes 1/n in float32"),
}
