"""Oracles of `gdjax.optimizers.first_order.adafactor`."""

import itertools

import numpy as np

from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


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


@per_leaf
def sm3(p, learning_rate, momentum):
    shape = p.shape or (1,)
    sums, mean, u = [np.zeros(d) for d in shape], 0, None
    for t in itertools.count(1):
        g, _, _ = yield u
        g = g.reshape(shape)
        cover = np.full(shape, np.inf)
        for axis, known in enumerate(sums):
            cover = np.minimum(cover, np.expand_dims(known, tuple(i for i in range(g.ndim) if i != axis)))
        cover = cover + abs_sq(g)
        if cover.size:
            sums = [cover.max(axis=tuple(i for i in range(g.ndim) if i != axis)) for axis in range(g.ndim)]
        direction = np.where(cover > 0, g / np.sqrt(cover + 1e-8), 0)
        mean = momentum * mean + (1 - momentum) * direction
        u = -at(learning_rate, t) * mean.reshape(p.shape)
