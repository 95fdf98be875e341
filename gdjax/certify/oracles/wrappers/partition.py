"""Oracle of `gdjax.optimizers.wrappers.partition`, for the leaves of the recording, whose paths are their names."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped
from gdjax.certify.suite import SHAPES


def of_parts(params: list[np.ndarray], parts: list[tuple[Inner, list[int]]]) -> Wrapped:
    steps = [(inner.of_leaves(which).answering([params[i] for i in which]), which) for inner, which in parts]
    answer = None
    while True:
        seen = yield answer
        updates = [0 * p for p in params]
        averages = {}
        for step, which in steps:
            own = step(seen, [seen.grads[i] for i in which], [seen.params[i] for i in which])
            for n, i in enumerate(which):
                updates[i] = own.updates[n]
                if own.evaluated is not None:
                    averages[i] = own.evaluated[n]
        answer = Answer(
            updates, [averages.get(i, p + u) for i, (p, u) in enumerate(zip(seen.params, updates, strict=True))]
        )


def partition(
    params: list[np.ndarray], transforms: dict[str, Inner], param_labels: Any, mask_compatible_extra_args: bool
) -> Wrapped:
    """With labels=None: the names are patterns."""
    assert param_labels is None
    parts = [
        (inner, [i for i, leaf in enumerate(SHAPES) if re.search(name, leaf)]) for name, inner in transforms.items()
    ]
    yield from of_parts(params, [part for part in parts if part[0] is not None])


EXAMPLES = {
    "partition": lambda: [o.partition({"^m|^l": o.adam(0.01), "r$": o.average(o.sgd(0.1), 0.7), "^e": None})],
}
