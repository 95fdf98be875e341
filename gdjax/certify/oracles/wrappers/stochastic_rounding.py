"""The oracle of `gdjax.optimizers.wrappers.stochastic_rounding`: the path that no rounding has touched."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.wrappers.lift import Inner, Wrapped
from gdjax.certify.oracles.wrappers.master_weights import master_weights


def stochastic_rounding(params: list[np.ndarray], inner: Inner, key: Any) -> Wrapped:
    yield from master_weights(params, inner)


EXAMPLES = {
    "stochastic_rounding": lambda: [o.stochastic_rounding(o.sgd(0.001), 3)],
}

BY_PARAMETERS = {
    "stochastic_rounding": "its updates are differences of parameters",
}
