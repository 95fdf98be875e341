"""Oracles of `gdjax.optimizers.first_order.sgd`."""

import itertools

from gdjax.certify.oracles.lift import at, per_leaf


@per_leaf
def sgd(p, learning_rate, momentum, nesterov, accumulator_dtype):
    trace, u = 0, None
    for t in itertools.count(1):
        g, _, _ = yield u
        direction = g
        if momentum is not None:
            trace = g + at(momentum, t) * trace
            direction = g + at(momentum, t) * trace if nesterov else trace
        u = -at(learning_rate, t) * direction


@per_leaf
def momentum(p, learning_rate, decay, nesterov):
    velocity, u = 0, None
    for t in itertools.count(1):
        g, _, _ = yield u
        velocity = at(decay, t) * velocity - at(learning_rate, t) * g
        u = at(decay, t) * velocity - at(learning_rate, t) * g if nesterov else velocity
