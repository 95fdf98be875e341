"""The oracle of `gdjax.optimizers.wrappers.master_weights`: the path that no rounding has touched."""

from __future__ import annotations

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped


def master_weights(params: list[np.ndarray], inner: Inner) -> Wrapped:
    """The inner oracle on its own path, in float64; the parameters that are given are its rounding, and not looked at."""
    step, answer, exact = inner.start(params), None, params
    while True:
        seen = yield answer
        updates = step(seen, params=exact)
        exact = [p + u for p, u in zip(exact, updates, strict=True)]
        answer = Answer(updates, exact)


EXAMPLES = {
    "master_weights": lambda: [o.master_weights(o.sgd(0.001))],
}

BY_PARAMETERS = {
    "master_weights": "its updates are differences of parameters",
}
