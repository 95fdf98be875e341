"""Oracle of `gdjax.optimizers.wrappers.freeze`, for the leaves of the recording, whose paths are their names."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.wrappers.lift import Inner, Wrapped, heavy
from gdjax.certify.oracles.wrappers.partition import of_parts
from gdjax.certify.suite import SHAPES


def freeze(params: list[np.ndarray], inner: Inner, frozen: Any) -> Wrapped:
    trained = [i for i, name in enumerate(SHAPES) if not re.search(frozen, name)]
    yield from of_parts(params, [(inner, trained)])


EXAMPLES = {
    "freeze": lambda: [o.freeze(heavy(), r"^(matrix|scalar)$"), o.freeze(o.average(o.sgd(0.1), 0.6), "r$")],
}
