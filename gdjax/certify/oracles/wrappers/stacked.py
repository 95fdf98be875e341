"""Oracle of `gdjax.optimizers.wrappers.stacked`: the inner one, which knows no stacks."""

from __future__ import annotations

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.masks import matrices
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped


def stacked(params: list[np.ndarray], inner: Inner) -> Wrapped:
    step, answer = inner.start(params), None
    while True:
        answer = Answer(step((yield answer)))


EXAMPLES = {
    "stacked": lambda: [o.stacked(o.adamw(0.01, mask=matrices))],
}
