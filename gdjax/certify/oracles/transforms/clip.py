"""Oracle of `gdjax.optimizers.transforms.clip`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.transforms.clip_by_norm import shortening
from gdjax.certify.oracles.transforms.each_leaf import each_leaf
from gdjax.certify.oracles.wrappers.lift import Wrapped


def clip(params: list[np.ndarray], max_delta: Any) -> Wrapped:
    def clip_leaf(g, p):
        return g * shortening(np.abs(g), max_delta) if np.iscomplexobj(g) else np.clip(g, -max_delta, max_delta)

    yield from each_leaf(clip_leaf)


EXAMPLES = {
    "clip": lambda: [o.clip(0.4)],
}
