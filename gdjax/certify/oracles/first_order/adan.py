"""Oracles of `gdjax.optimizers.first_order.adan`."""

import itertools

import numpy as np

from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


@per_leaf
def optimistic_gradient_descent(p, learning_rate, alpha, beta):
    before, u = None, None
    for t in itertools.count(1):
        g, _, _ = yield u
        before = g if before is None else before
        u = -at(learning_rate, t) * (at(alpha, t) * g + at(beta, t) * (g - before))
        before = g


@per_leaf
def optimistic_adam_v2(p, learning_rate, alpha, beta, b1, b2, eps, eps_root, mu_dtype, nesterov):
    m, v, before, u = 0, 0, None, None
    for t in itertools.count(1):
        g, _, _ = yield u
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * abs_sq(g)
        m_hat = m / (1 - b1**t)
        if nesterov:
            m_hat = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        d = m_hat / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)
        before = d if before is None else before
        u = -at(learning_rate, t) * (alpha * d + beta * (d - before))
        before = d


@per_leaf
def adan(p, learning_rate, b1, b2, b3, eps, eps_root, weight_decay, mask):
    m, v, n, before, u = 0, 0, 0, None, None
    for t in itertools.count(1):
        g, p, _ = yield u
        difference = 0 if before is None else g - before
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * difference
        n = b3 * n + (1 - b3) * abs_sq(g + (1 - b2) * difference)
        scale = np.sqrt(n / (1 - b3**t) + eps_root) + eps
        direction = (m / (1 - b1**t) + (1 - b2) * v / (1 - b2**t)) / scale
        u = -at(learning_rate, t) * (direction + (at(weight_decay, t) * p if mask else 0))
        before = g


@per_leaf
def ademamix(p, learning_rate, b1, b2, b3, alpha, eps, eps_root, mu_dtype, weight_decay, mask):
    fast, slow, v, u = 0, 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        fast, slow = b1 * fast + (1 - b1) * g, at(b3, t) * slow + (1 - at(b3, t)) * g
        v = b2 * v + (1 - b2) * abs_sq(g)
        direction = (fast / (1 - b1**t) + at(alpha, t) * slow) / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)
        u = -at(learning_rate, t) * (direction + (at(weight_decay, t) * p if mask else 0))


@per_leaf
def simplified_ademamix(p, learning_rate, b1, b2, alpha, eps, eps_root, weight_decay, mask):
    total, v, u = 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        total, v = b1 * total + g, b2 * v + (1 - b2) * abs_sq(g)
        direction = (total + at(alpha, t) * g) / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)
        u = -at(learning_rate, t) * (direction + (at(weight_decay, t) * p if mask else 0))


@per_leaf
def adopt(p, learning_rate, b1, b2, eps, mu_dtype, nesterov, use_clipping, clip_value_fn):
    m, v, u = np.zeros(p.shape, p.dtype), None, None
    for t in itertools.count(1):
        g, _, _ = yield u
        if v is None:
            v, u = abs_sq(g), np.zeros(p.shape, p.dtype)
            continue
        d = g / np.maximum(np.sqrt(v), eps)
        if use_clipping:
            limit = float(clip_value_fn(t - 1.0))
            d = np.where(np.abs(d) > limit, limit * np.sign(d), d)
        m, v = b1 * m + (1 - b1) * d, b2 * v + (1 - b2) * abs_sq(g)
        u = -at(learning_rate, t) * (b1 * m + (1 - b1) * d if nesterov else m)


@per_leaf
def acprop(p, learning_rate, b1, b2, eps, eps_root, weight_decay, mask):
    m, s, u = 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        spread = 1.0 if t == 1 else np.sqrt(s / (1 - b2 ** (t - 1)))
        u = -at(learning_rate, t) * (g / (spread + eps) + (at(weight_decay, t) * p if mask else 0))
        s = b2 * s + (1 - b2) * abs_sq(g - m) + eps_root
        m = b1 * m + (1 - b1) * g


@per_leaf
def madgrad(p, learning_rate, momentum, weight_decay, eps):
    start, squares, total, u = p, 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        g = g + weight_decay * p
        weight = (at(learning_rate, t) + eps) * np.sqrt(t)
        squares, total = squares + weight * abs_sq(g), total + weight * g
        z = start - total / (np.cbrt(squares) + eps)
        u = (1 - momentum) * (z - p)


@per_leaf
def mars(p, learning_rate, b1, b2, eps, gamma, max_norm, weight_decay, mask):
    m, v, before, u = 0, 0, None, None
    for t in itertools.count(1):
        g, p, _ = yield u
        c = g if before is None else g + gamma * (b1 / (1 - b1)) * (g - before)
        norm = np.linalg.norm(np.ravel(c))
        c = c * (max_norm / norm) if norm > max_norm else c
        m, v = b1 * m + (1 - b1) * c, b2 * v + (1 - b2) * abs_sq(c)
        direction = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)
        u = -at(learning_rate, t) * (direction + (at(weight_decay, t) * p if mask else 0))
        before = g
