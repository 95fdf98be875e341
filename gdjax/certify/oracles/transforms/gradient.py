"""Oracles of `gdjax.optimizers.transforms.gradient`. Noise is drawn by JAX from the same keys; all else is NumPy."""

import itertools
from typing import Any

import numpy as np

from gdjax.calls import as_key
from gdjax.certify.oracles.draws import split_normals
from gdjax.certify.oracles.first_order.muon import orthogonalized
from gdjax.certify.oracles.wrappers.lift import Answer, norm, over


def fed(params, inner, change: Any = None, together: Any = None):
    """The inner oracle sees change(g, p) of each leaf, or together(grads, t) of all, in the place of the gradient."""
    step, answer = inner.start(params), None
    for t in itertools.count(1):
        seen = yield answer
        if together is not None:
            grads = together(seen.grads, t)
        else:
            grads = [change(g, p) for g, p in zip(seen.grads, seen.params, strict=True)]
        answer = Answer(step(seen, grads))


def add_noise(params, inner, eta, gamma, key):
    """Neelakantan et al. 2015: variance eta / t^gamma, here from t = 1; real and imaginary part have half of it each."""
    now = as_key(key)

    def noisy(grads, t):
        nonlocal now
        now, z = split_normals(now, tuple((g.shape, g.dtype.name) for g in grads), twice=True)
        return [g + np.sqrt(eta / t**gamma) * x for g, x in zip(grads, z, strict=True)]

    yield from fed(params, inner, together=noisy)


def centralize(params, inner, axis):
    def centred(g, p):
        if g.ndim < 2 or not g.size:
            return g
        return g - g.mean(axis=tuple(range(1, g.ndim)) if axis is None else axis, keepdims=True)

    yield from fed(params, inner, centred)


def normalize(params, inner):
    yield from fed(params, inner, together=lambda grads, t: [over(g, norm(grads)) for g in grads])


def orthogonalize(params, inner, ns_coeffs, ns_steps, eps):
    def orthogonal(g, p):
        if g.ndim < 2 or not g.size:
            return g
        return orthogonalized(g.reshape(-1, g.shape[-1]), ns_coeffs, ns_steps, eps, "frobenius").reshape(g.shape)

    yield from fed(params, inner, orthogonal)
