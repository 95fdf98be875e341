"""Oracles of `gdjax.optimizers.first_order.lars`."""

import itertools

import numpy as np

from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


def _length(x, least=0.0):
    return max(np.linalg.norm(np.ravel(x)), least)


def _ratio(u, p, coefficient=1.0, eps=0.0, least=0.0):
    size, step = _length(p, least), _length(u, least)
    return 1.0 if size == 0 or step == 0 else coefficient * size / (step + eps)


@per_leaf
def lars(
    p,
    learning_rate,
    weight_decay,
    weight_decay_mask,
    trust_coefficient,
    eps,
    trust_ratio_mask,
    momentum,
    nesterov,
):
    trace, u = 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        g = g + (at(weight_decay, t) * p if weight_decay_mask else 0)
        step = at(learning_rate, t) * (_ratio(g, p, trust_coefficient, eps) if trust_ratio_mask else 1) * g
        trace = step + momentum * trace
        u = -(step + momentum * trace if nesterov else trace)


@per_leaf
def lamb(p, learning_rate, b1, b2, eps, eps_root, weight_decay, mask):
    m, v, u = 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * abs_sq(g)
        d = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)
        d = d + (at(weight_decay, t) * p if mask else 0)
        u = -at(learning_rate, t) * _ratio(d, p) * d


@per_leaf
def fromage(p, learning_rate, min_norm):
    u = None
    for t in itertools.count(1):
        g, p, _ = yield u
        eta = at(learning_rate, t)
        root = np.sqrt(1 + eta**2)
        u = -eta / root * _ratio(g, p, least=min_norm) * g - eta**2 / (root * (1 + root)) * p


@per_leaf
def novograd(p, learning_rate, b1, b2, eps, eps_root, weight_decay):
    m, v, u = 0, None, None
    for t in itertools.count(1):
        g, p, _ = yield u
        squared = np.sum(abs_sq(g))
        v = squared if v is None else b2 * v + (1 - b2) * squared
        m = b1 * m + g / (np.sqrt(v + eps_root) + eps) + at(weight_decay, t) * p
        u = -at(learning_rate, t) * m


@per_leaf
def adam_mini(p, learning_rate, b1, b2, eps, weight_decay, mask, by):
    m, v, u = 0, 0, None
    axes = tuple(range(p.ndim - 1)) if p.ndim > 1 and by == "column" else None
    for t in itertools.count(1):
        g, p, _ = yield u
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * (np.mean(abs_sq(g), axis=axes) if g.size else 0)
        d = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)
        u = -at(learning_rate, t) * (d + (at(weight_decay, t) * p if mask else 0))
