"""Oracles of `gdjax.optimizers.first_order.amsgrad`."""

import itertools

import numpy as np

from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


@per_leaf
def amsgrad(p, learning_rate, b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu):
    m, v, largest, u = 0, 0, 0, None
    for t in itertools.count(1):
        g, _, _ = yield u
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * abs_sq(g)
        largest = np.maximum(largest, v / (1 - b2**t) if bias_correction_nu else v)
        m_hat = m / (1 - b1**t) if bias_correction_mu else m
        u = -at(learning_rate, t) * m_hat / (np.sqrt(largest + eps_root) + eps)


@per_leaf
def adamaxw(p, learning_rate, b1, b2, eps, weight_decay=0.0, mask=True):
    m, infinity, u = 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        m, infinity = b1 * m + (1 - b1) * g, np.maximum(b2 * infinity, np.abs(g) + eps)
        u = -at(learning_rate, t) * (m / ((1 - b1**t) * infinity) + (at(weight_decay, t) * p if mask else 0))


adamax = adamaxw


@per_leaf
def adabelief(p, learning_rate, b1, b2, eps, eps_root, nesterov):
    m, s, u = 0, 0, None
    for t in itertools.count(1):
        g, _, _ = yield u
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * abs_sq(g - m) + eps_root
        m_hat = m / (1 - b1**t)
        if nesterov:
            m_hat = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        u = -at(learning_rate, t) * m_hat / (np.sqrt(s / (1 - b2**t)) + eps)


@per_leaf
def yogi(p, learning_rate, b1, b2, eps):
    m, v, u = 1e-6, 1e-6, None
    for t in itertools.count(1):
        g, _, _ = yield u
        square = abs_sq(g)
        m = b1 * m + (1 - b1) * g
        v = np.where(v > square, v - (1 - b2) * square, np.where(v < square, v + (1 - b2) * square, v))
        u = -at(learning_rate, t) * m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)


@per_leaf
def radam(p, learning_rate, b1, b2, eps, eps_root, threshold, nesterov):
    m, v, u = 0, 0, None
    rho_inf = 2 / (1 - b2) - 1
    for t in itertools.count(1):
        g, _, _ = yield u
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * abs_sq(g)
        m_hat = m / (1 - b1**t)
        if nesterov:
            m_hat = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        rho = rho_inf - 2 * t * b2**t / (1 - b2**t)
        step = m_hat
        if rho >= threshold:
            r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            step = r * m_hat / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)
        u = -at(learning_rate, t) * step
