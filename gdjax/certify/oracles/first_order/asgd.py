"""Oracles of `gdjax.optimizers.first_order.asgd`."""

import itertools

import numpy as np

from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


def _warmed(rate, warmup_steps, t):
    """The rate at step t - 1 of a warm-up from 0."""
    return rate if warmup_steps is None else rate * min(1.0, (t - 1) / warmup_steps)


def _averaging(p, rate_at, base, b1, power):
    """One leaf's schedule-free path around base(g, p, t) -> update, in extended precision: it takes differences."""
    extended = np.result_type(p.dtype, np.longdouble)
    z, total, largest, u = p.astype(extended), 0.0, 0.0, None
    for t in itertools.count(1):
        g, y, _ = yield u
        g, y = g.astype(extended), y.astype(extended)
        largest = max(largest, rate_at(t))
        weight = largest**power
        total += weight
        c = weight / total if total > 0 else 0.0
        x = (y - (1 - b1) * z) / b1
        z = z + base(g, y, t)
        x = (1 - c) * x + c * z
        u = b1 * x + (1 - b1) * z - y


@per_leaf
def schedule_free_sgd(p, learning_rate, warmup_steps, b1, weight_decay, weight_lr_power, state_dtype):
    def rate(t):
        return _warmed(at(learning_rate, t), warmup_steps, t)

    def base(g, y, t):
        return -rate(t) * (g + (weight_decay or 0) * y)

    yield from _averaging(p, rate, base, b1, weight_lr_power)


@per_leaf
def schedule_free_adamw(p, learning_rate, warmup_steps, b1, b2, eps, weight_decay, weight_lr_power, state_dtype):
    v = 0

    def rate(t):
        return _warmed(at(learning_rate, t), warmup_steps, t)

    def base(g, y, t):
        nonlocal v
        v = b2 * v + (1 - b2) * abs_sq(g)
        return -rate(t) * (g / (np.sqrt(v / (1 - b2**t)) + eps) + weight_decay * y)

    yield from _averaging(p, rate, base, b1, weight_lr_power)


@per_leaf
def asgd(p, learning_rate, lambd, alpha, t0, weight_decay):
    u = None
    for t in itertools.count(1):
        g, p, _ = yield u
        eta = at(learning_rate, t) / (1 + lambd * at(learning_rate, t) * (t - 1)) ** alpha
        u = -eta * (g + weight_decay * p + lambd * p)
