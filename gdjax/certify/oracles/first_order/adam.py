"""Oracles of `gdjax.optimizers.first_order.adam`."""

import itertools

import numpy as np

from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


@per_leaf
def adamw(p, learning_rate, b1, b2, eps, eps_root, mu_dtype=None, weight_decay=0.0, mask=True, nesterov=False):
    mu, nu, u = 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        c1, c2 = at(b1, t), at(b2, t)
        mu, nu = c1 * mu + (1 - c1) * g, c2 * nu + (1 - c2) * abs_sq(g)
        mu_hat = mu / (1 - c1**t)
        if nesterov:
            mu_hat = c1 * mu / (1 - c1 ** (t + 1)) + (1 - c1) * g / (1 - c1**t)
        direction = mu_hat / (np.sqrt(nu / (1 - c2**t) + eps_root) + eps)
        u = -at(learning_rate, t) * (direction + (at(weight_decay, t) * p if mask else 0))


adam = nadam = nadamw = adamw  # Adam is AdamW without decay; NAdam passes nesterov


@per_leaf
def adam_atan2(p, learning_rate, b1, b2, a, b, weight_decay, mask):
    m, v, u = 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * abs_sq(g)
        m_hat, root = m / (1 - b1**t), np.sqrt(v / (1 - b2**t))
        direction = a * np.arctan2(np.abs(m_hat), b * root) * np.sign(m_hat)
        u = -at(learning_rate, t) * (direction + (at(weight_decay, t) * p if mask else 0))
