"""Oracles of `gdjax.optimizers.first_order.sign_sgd`."""

import itertools

import numpy as np

from gdjax.certify.oracles.lift import at, per_leaf


@per_leaf
def sign_sgd(p, learning_rate):
    u = None
    for t in itertools.count(1):
        g, _, _ = yield u
        u = -at(learning_rate, t) * np.sign(g)


@per_leaf
def signum(p, learning_rate, beta, accumulator_dtype):
    mean, u = 0, None
    for t in itertools.count(1):
        g, _, _ = yield u
        mean = beta * mean + (1 - beta) * g
        u = -at(learning_rate, t) * np.sign(mean)


@per_leaf
def lion(p, learning_rate, b1, b2, mu_dtype, weight_decay, mask):
    m, u = 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        direction = np.sign(b1 * m + (1 - b1) * g)
        m = b2 * m + (1 - b2) * g
        u = -at(learning_rate, t) * (direction + (at(weight_decay, t) * p if mask else 0))


@per_leaf
def rprop(p, learning_rate, eta_minus, eta_plus, min_step_size, max_step_size, delayed):
    size, before, u = np.full(p.shape, at(learning_rate, 1)), np.zeros(p.shape), None
    for _ in itertools.count(1):
        g, _, _ = yield u
        same, turned = g * before > 0, g * before < 0
        size = np.where(same, np.clip(size * eta_plus, min_step_size, max_step_size), size)
        size = np.where(turned, np.clip(size * eta_minus, min_step_size, max_step_size), size)
        now = np.where(turned, 0, size * np.sign(g))
        u = -np.where(turned, 0, before) if delayed else -now
        before = now
