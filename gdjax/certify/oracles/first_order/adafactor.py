"""The oracle of `gdjax.optimizers.first_order.adafactor`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.masks import matrices


def _rms(x):
    return np.sqrt(np.mean(abs_sq(x))) if x.size else 0.0


@per_leaf
def adafactor(
    p,
    learning_rate,
    min_dim_size_to_factor,
    decay_rate,
    decay_offset,
    multiply_by_parameter_scale,
    clipping_threshold,
    momentum,
    dtype_momentum,
    weight_decay_rate,
    eps,
    factored,
    weight_decay_mask,
):
    """For leaves of at most two axes."""
    is_factored = factored and p.ndim == 2 and min(p.shape) >= min_dim_size_to_factor
    rows, columns, v, average, u = 0, 0, 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        beta = 1 - float(max(t - decay_offset, 1)) ** -decay_rate
        squares = abs_sq(g) + eps
        if is_factored:
            rows = beta * rows + (1 - beta) * squares.mean(axis=1)
            columns = beta * columns + (1 - beta) * squares.mean(axis=0)
            d = g / np.sqrt(np.outer(rows, columns) / rows.mean())
        else:
            v = beta * v + (1 - beta) * squares
            d = g / np.sqrt(v)
        if clipping_threshold is not None:
            d = d / max(1.0, _rms(d) / clipping_threshold)
        step = (1.0 if learning_rate is None else at(learning_rate, t)) * d
        step = step * max(_rms(p), 1e-3) if multiply_by_parameter_scale else step
        if momentum is not None:
            average = momentum * average + (1 - momentum) * step
            step = average
        decays = weight_decay_rate is not None and weight_decay_mask
        u = -step - (at(weight_decay_rate, t) * p if decays else 0)


EXAMPLES = {
    "adafactor": lambda: [
        o.adafactor(0.01, min_dim_size_to_factor=4),
        o.adafactor(0.01, clipping_threshold=0.5, momentum=0.9, dtype_momentum=float, weight_decay_rate=0.01),
        o.adafactor(min_dim_size_to_factor=4, factored=False, weight_decay_rate=0.01, weight_decay_mask=matrices),
        o.adafactor(
            schedules.cosine(0.01, 1000),
            min_dim_size_to_factor=4,
            multiply_by_parameter_scale=False,
            clipping_threshold=None,
        ),
        o.adafactor(0.01, decay_offset=1),
    ],
}

PARTS_FROM_OPTAX: dict[Any, str] = {
    "adafactor(learning_rate=0.01, decay_offset=1": "Optax gives NaN",
    ("adafactor(", "float64"): "Optax takes the power of t in float32",
    ("adafactor(", "complex128"): "Optax takes the power of t in float32",
}
