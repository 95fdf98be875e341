"""Oracles of `gdjax.optimizers.wrappers.sam`."""

import itertools

import numpy as np

from gdjax.certify.oracles.wrappers.lift import Answer, inner_product, norm, over


def _uphill(params, grads, rho):
    """Foret et al. 2021: p + rho g / |g|."""
    return [p + over(rho * g, norm(grads)) for p, g in zip(params, grads, strict=True)]


def sam(params, inner, rho, adaptive, eta, steps):
    """Adaptive, Kwon et al. 2021: p + rho T² g / |T g| with T = |p| + eta."""
    step, answer = inner.start(params), None
    while True:
        seen = yield answer
        grads, point = seen.grads, seen.params
        for _ in range(steps):
            if adaptive:
                sizes = [np.abs(p) + eta for p in point]
                length = norm([s * g for s, g in zip(sizes, grads, strict=True)])
                point = [p + over(rho * s**2 * g, length) for p, s, g in zip(point, sizes, grads, strict=True)]
            else:
                point = _uphill(point, grads, rho)
            grads = seen.gradient(point)
        answer = Answer(step(seen, grads))


def _across(x, along):
    """What of x is orthogonal to another."""
    share = over(inner_product(along, x), inner_product(along, along))
    return [a - share * b for a, b in zip(x, along, strict=True)]


def gsam(params, inner, rho, alpha):
    """Zhuang et al. 2022, Algorithm 1."""
    step, answer = inner.start(params), None
    while True:
        seen = yield answer
        above = seen.gradient(_uphill(seen.params, seen.grads, rho))
        gap = _across(seen.grads, above)
        answer = Answer(step(seen, [h - alpha * v for h, v in zip(above, gap, strict=True)]))


def looksam(params, inner, rho, alpha, period):
    """Liu et al. 2022, Algorithm 1."""
    step, answer, v = inner.start(params), None, [0 * p for p in params]
    for t in itertools.count(0):
        seen = yield answer
        g = seen.grads
        if t % period == 0:
            fed = seen.gradient(_uphill(seen.params, g, rho))
            v = _across(fed, g)
        else:
            factor = over(alpha * norm(g), norm(v))
            fed = [a + factor * b for a, b in zip(g, v, strict=True)]
        answer = Answer(step(seen, fed))
