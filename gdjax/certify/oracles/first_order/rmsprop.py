"""The oracle of `gdjax.optimizers.first_order.rmsprop`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


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


EXAMPLES = {
    "rmsprop": lambda: [
        o.rmsprop(0.01),
        o.rmsprop(0.01, centered=True, momentum=0.9, initial_scale=1.0),
        o.rmsprop(0.01, eps_in_sqrt=False, momentum=0.5, nesterov=True, bias_correction=True),
    ],
}

LIMITS = {
    "rmsprop(0.01, initial_scale=1, centered=True": (
        1e-9,
        "the variance of a constant gradient is a difference of equal numbers: rounding is all that is left of it",
    ),
}
