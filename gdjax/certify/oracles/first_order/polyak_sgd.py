"""Oracles of `gdjax.optimizers.first_order.polyak_sgd`, over all leaves as one vector."""

import itertools

import numpy as np

from gdjax.certify.oracles.lift import abs_sq, at

NOTHING = np.finfo(float).eps


def _flat(leaves):
    return np.concatenate([np.ravel(x) for x in leaves])


def _split(vector, like):
    ends = np.cumsum([x.size for x in like])[:-1]
    return [part.reshape(x.shape) for part, x in zip(np.split(vector, ends), like, strict=True)]


def polyak_sgd(params, max_learning_rate, scaling, f_min, eps, variant):
    updates = None
    for t in itertools.count(1):
        grads, _, value = yield updates
        g = _flat(grads)
        squared = np.sum(abs_sq(g))
        gap = max(value - f_min, 0) if variant == "sps+" else value - f_min
        step = 0.0 if squared + eps <= NOTHING else min(gap / (squared + eps), max_learning_rate)
        updates = _split(-at(scaling, t) * step * g, grads)


def _step(q, barf, lb, gamma, product, squared, longest, correction, least, adapt):
    if adapt:
        cap = q * (barf - gamma) + product
        lb = max(cap / (2 * correction * q), least) if cap < q * correction * lb else lb
    reach = max(q * (barf - correction * lb - gamma) + product, 0)
    tau = min(longest, 0.0 if squared <= NOTHING else reach / squared)
    if adapt:
        lb = max((barf + product - gamma - tau * squared / 2) / correction, least)
    return tau, lb


def momo(params, learning_rate, beta, lower_bound, weight_decay, adapt_lower_bound):
    m, barf, gamma, lb, updates = 0, 0, 0, lower_bound, None
    for t in itertools.count(1):
        grads, params, value = yield updates
        g, p, b, rate = _flat(grads), _flat(params), 0 if t == 1 else beta, at(learning_rate, t)
        m = b * m + (1 - b) * g
        barf, gamma = b * barf + (1 - b) * value, b * gamma + (1 - b) * np.vdot(g, p).real
        q, squared, product = 1 + rate * weight_decay, np.sum(abs_sq(m)), np.vdot(m, p).real
        tau, lb = _step(q, barf, lb, gamma, product, squared, rate, 1.0, lower_bound, adapt_lower_bound)
        updates = _split(-tau * m - rate * weight_decay / q * p, grads)


def momo_adam(params, learning_rate, b1, b2, eps, lower_bound, weight_decay, adapt_lower_bound):
    m, v, barf, gamma, lb, updates = 0, 0, 0, 0, lower_bound, None
    for t in itertools.count(1):
        grads, params, value = yield updates
        g, p, rate = _flat(grads), _flat(params), at(learning_rate, t)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * abs_sq(g)
        barf, gamma = b1 * barf + (1 - b1) * value, b1 * gamma + (1 - b1) * np.vdot(g, p).real
        direction = m / (eps + np.sqrt(v / (1 - b2**t)))
        c, q = 1 - b1**t, 1 + rate * weight_decay
        squared, product = np.vdot(m, direction).real, np.vdot(m, p).real
        tau, lb = _step(q, barf, lb, gamma, product, squared, rate / c, c, lower_bound, adapt_lower_bound)
        updates = _split(-tau * direction - rate * weight_decay / q * p, grads)
