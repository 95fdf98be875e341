"""Oracles of `gdjax.optimizers.transforms.clipping`: the gradient is shortened, then the inner oracle sees it."""

import numpy as np

from gdjax.certify.oracles.transforms.gradient import fed
from gdjax.certify.oracles.wrappers.lift import norm


def _factor(size, limit):
    """min(1, limit / size), 1 for a size of 0."""
    size, limit = np.broadcast_arrays(np.asarray(size, float), limit)
    return np.where(size > limit, limit / np.where(size > 0, size, 1), 1.0)


def clip(params, inner, max_delta):
    def clipped(g, p):
        return g * _factor(np.abs(g), max_delta) if np.iscomplexobj(g) else np.clip(g, -max_delta, max_delta)

    yield from fed(params, inner, clipped)


def clip_by_norm(params, inner, max_norm):
    yield from fed(params, inner, lambda g, p: g * _factor(norm([g]), max_norm))


def clip_by_global_norm(params, inner, max_norm):
    def clipped(grads, t):
        factor = _factor(norm(grads), max_norm)
        return [g * factor for g in grads]

    yield from fed(params, inner, together=clipped)


def clip_by_block_rms(params, inner, threshold):
    yield from fed(params, inner, lambda g, p: g * _factor(norm([g]) / np.sqrt(max(g.size, 1)), threshold))


def adaptive_grad_clip(params, inner, clipping, eps, axis):
    """Brock et al. 2021, equation 3; a unit is a column of a matrix (inputs, outputs)."""

    def size(x):
        along = axis
        if axis is None and x.ndim > 1:
            along = 0 if x.ndim <= 3 else tuple(range(x.ndim - 1))
        return np.sqrt(np.sum(np.abs(x) ** 2, axis=along, keepdims=True))

    yield from fed(params, inner, lambda g, p: g * _factor(size(g), clipping * np.maximum(size(p), eps)))
