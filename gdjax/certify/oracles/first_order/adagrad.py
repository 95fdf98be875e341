"""Oracles of `gdjax.optimizers.first_order.adagrad`."""

import itertools

import numpy as np

from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


@per_leaf
def adagrad(p, learning_rate, initial_accumulator_value, eps):
    total, u = np.full(p.shape, initial_accumulator_value, float), None
    for t in itertools.count(1):
        g, p, _ = yield u
        total = total + abs_sq(g)
        u = -at(learning_rate, t) * np.where(total > 0, g / np.sqrt(total + eps), 0)


@per_leaf
def rmsprop(p, learning_rate, decay, eps, eps_in_sqrt, centered, momentum, nesterov, bias_correction, initial_scale):
    nu, mu, trace, u = np.full(p.shape, initial_scale, float), 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        b = at(decay, t)
        nu, mu = b * nu + (1 - b) * abs_sq(g), b * mu + (1 - b) * g
        unbias = 1 - b**t if bias_correction else 1
        variance = nu / unbias
        if centered:
            variance = np.maximum(variance - abs_sq(mu / unbias), 0)
        scale = np.sqrt(variance + eps) if eps_in_sqrt else np.sqrt(variance) + eps
        step = at(learning_rate, t) * g / scale
        if momentum is not None:
            trace = step + at(momentum, t) * trace
            step = step + at(momentum, t) * trace if nesterov else trace
        u = -step


@per_leaf
def adadelta(p, learning_rate, rho, eps, weight_decay, weight_decay_mask):
    e_g, e_x, u = 0, 0, None
    for t in itertools.count(1):
        g, p, _ = yield u
        b = at(rho, t)
        g = g + (at(weight_decay, t) * p if weight_decay_mask else 0)
        e_g = b * e_g + (1 - b) * abs_sq(g)
        d = np.sqrt(e_x + eps) / np.sqrt(e_g + eps) * g
        e_x = b * e_x + (1 - b) * abs_sq(d)
        u = -(1 if learning_rate is None else at(learning_rate, t)) * d
