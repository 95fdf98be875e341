"""Oracles of `gdjax.optimizers.first_order.prodigy`; those of all leaves together take them as one vector."""

import itertools

import numpy as np

from gdjax.certify.oracles.first_order.polyak_sgd import _flat, _split
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


@per_leaf
def cocob(p, learning_rate, alpha, eps, weight_decay, mask):
    start, largest, total, sizes, reward, u = p, eps, 0, 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        c = at(learning_rate, t) * (g + (weight_decay * p if mask else 0))
        largest = np.maximum(largest, np.abs(c))
        total, sizes = total - c, sizes + np.abs(c)
        reward = np.maximum(reward - (c.conj() * (p - start)).real, 0)
        share = total / (largest * np.maximum(sizes + largest, alpha * largest))
        u = start - p + share * (largest + reward)


def _decayed(grads, params, weight_decay, mask):
    if weight_decay is None:
        return _flat(grads)
    return _flat([g + (weight_decay * p if m else 0) for g, p, m in zip(grads, params, mask, strict=True)])


def dog(params, learning_rate, init_step, eps, weight_decay, mask):
    (kind, first), start = init_step, _flat(params)
    farthest = {"distance": first, "heuristic": first * (1 + np.linalg.norm(start)), "learning_rate": 0.0}[kind]
    total, updates = 0.0, None
    for t in itertools.count(1):
        grads, params, _ = yield updates
        g = _decayed(grads, params, weight_decay, mask)
        farthest = max(farthest, np.linalg.norm(_flat(params) - start))
        total += np.sum(abs_sq(g))
        rate = first if kind == "learning_rate" and t == 1 else farthest / np.sqrt(total + eps)
        updates = _split(-at(learning_rate, t) * rate * g, grads)


def dowg(params, learning_rate, init_estim_sq_dist, eps, weight_decay, mask):
    start, squared = _flat(params), eps if init_estim_sq_dist is None else init_estim_sq_dist
    total, updates = 0.0, None
    for t in itertools.count(1):
        grads, params, _ = yield updates
        g = _decayed(grads, params, weight_decay, mask)
        squared = max(squared, np.sum(abs_sq(_flat(params) - start)))
        total += squared * np.sum(abs_sq(g))
        updates = _split(-at(learning_rate, t) * squared / (np.sqrt(total) + eps) * g, grads)


def dadapt_adamw(params, learning_rate, betas, eps, estim_lr0, weight_decay):
    (b1, b2), d, updates = betas, estim_lr0, None
    m, v, s, r, root = 0, 0, 0, 0, np.sqrt(b2)
    for t in itertools.count(1):
        grads, params, _ = yield updates
        g, p = _flat(grads), _flat(params)
        c = d * at(learning_rate, t) * np.sqrt(1 - b2**t) / (1 - b1**t)
        r = root * r + (1 - root) * c * np.vdot(g, s / (np.sqrt(v) + eps) + 0 * g).real
        m, v = b1 * m + (1 - b1) * c * g, b2 * v + (1 - b2) * abs_sq(g)
        s = root * s + (1 - root) * c * g
        size = (1 - root) * np.sum(np.abs(s))
        updates = _split(-m / (np.sqrt(v) + eps) - weight_decay * c * p, grads)
        d = max(d, r / size) if size > 0 else d


def prodigy(params, learning_rate, betas, beta3, eps, estim_lr0, estim_lr_coef, weight_decay, safeguard_warmup):
    (b1, b2), d, start, updates = betas, estim_lr0, _flat(params), None
    m, v, s, r, b3 = 0, 0, 0, 0, np.sqrt(b2) if beta3 is None else beta3
    for t in itertools.count(1):
        grads, params, _ = yield updates
        g, p = _flat(grads), _flat(params)
        c = d * at(learning_rate, t) * np.sqrt(1 - b2**t) / (1 - b1**t)
        m, v = b1 * m + (1 - b1) * d * g, b2 * v + (1 - b2) * abs_sq(d * g)
        s = b3 * s + (d if safeguard_warmup else c) * d / estim_lr0 * g
        r = b3 * r + d / estim_lr0 * c * np.vdot(g, start - p).real
        size = np.sum(np.abs(s))
        d = max(d, estim_lr_coef * r / size) if size > 0 else d
        updates = _split(-c * m / (np.sqrt(v) + d * eps) - weight_decay * c * p, grads)
