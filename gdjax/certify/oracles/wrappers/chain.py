"""Oracle of `gdjax.optimizers.wrappers.chain`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.wrappers.lift import Answer, Wrapped, heavy


def chain(params: list[np.ndarray], args: Any) -> Wrapped:
    steps, answer = [part.start(params) for part in args], None
    while True:
        seen = yield answer
        flowing = seen.grads
        for step in steps:
            flowing = step(seen, flowing)
        answer = Answer(flowing)


EXAMPLES = {
    "chain": lambda: [o.chain(o.adam(0.1), o.sgd(0.5, 0.9)), o.chain(o.sgd(2.0), o.clip(0.3), heavy(), o.sgd(3.0))],
}
