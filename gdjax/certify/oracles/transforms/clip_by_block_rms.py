"""Oracle of `gdjax.optimizers.transforms.clip_by_block_rms`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.transforms.clip_by_norm import shortening
from gdjax.certify.oracles.transforms.each_leaf import each_leaf
from gdjax.certify.oracles.wrappers.lift import Wrapped, norm


def clip_by_block_rms(params: list[np.ndarray], threshold: Any) -> Wrapped:
    yield from each_leaf(lambda g, p: g * shortening(norm([g]) / np.sqrt(max(g.size, 1)), threshold))


EXAMPLES = {
    "clip_by_block_rms": lambda: [o.clip_by_block_rms(0.5)],
}
