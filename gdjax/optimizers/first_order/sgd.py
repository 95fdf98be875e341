"""Plain descent and its accelerations: one rate for all, with or without a memory of past gradients."""

from __future__ import annotations

from typing import Any

from gdjax.calls.node import optimizer
from gdjax.optimizers.leafwise import Slot, leafwise


@optimizer(static=("nesterov", "accumulator_dtype"), bounds={"learning_rate": "[0, inf)", "momentum": "[0, 1)"})
def sgd(learning_rate, momentum=None, nesterov=False, accumulator_dtype: Any = None):
    """Gradient descent, with momentum in the trace form.

        u = -learning_rate g                                              momentum None
        trace <- g + momentum trace,  u = -learning_rate trace            momentum
        trace <- g + momentum trace,  u = -learning_rate (g + momentum trace)         nesterov

    Stochastic or not is a matter of where g comes from. See `momentum` for the lectures' velocity form, which is the same
    while the rate is constant.

    Args:
        learning_rate: parameter units per gradient unit; number, array or schedule.
        momentum: in [0, 1); memory of about 1/(1 - momentum) steps. None keeps no memory.
        nesterov: look ahead along the trace.
        accumulator_dtype: of the trace; None is the parameter's.

    Memory: 1 x params (0 without momentum).   Raises: ValueError if momentum is outside [0, 1).
    Reference: Robbins & Monro 1951; Polyak 1964; Sutskever et al. 2013, section 2 (Nesterov).
    """
    if momentum is None:
        return leafwise(sgd_rule, learning_rate)
    slots = {"trace": Slot(dtype=accumulator_dtype)}
    return leafwise(trace_rule, learning_rate, slots=slots, momentum=momentum, nesterov=nesterov)


def sgd_rule(g):
    return g, {}


def trace_rule(g, trace, *, momentum, nesterov):
    trace = g + momentum * trace
    return (g + momentum * trace if nesterov else trace), {"trace": trace}


@optimizer(static=("nesterov",), bounds={"learning_rate": "[0, inf)", "decay": "[0, 1)"})
def momentum(learning_rate, decay=0.9, nesterov=False):
    """Momentum in the velocity form: the parameters carry a speed that gradients push and friction slows.

        velocity <- decay velocity - learning_rate g,      u = velocity
        u = decay velocity - learning_rate g  with the new velocity                   nesterov

    The rate is inside the memory: under a schedule, old gradients keep the rate they came with (in `sgd`'s trace form they
    take the present one).

    Args:
        learning_rate: parameter units per gradient unit; number, array or schedule.
        decay: in [0, 1); the share of the speed that survives a step. At rest under a constant gradient the speed is
            learning_rate g / (1 - decay).
        nesterov: step as if the velocity had already been followed.

    Memory: 1 x params.   Raises: ValueError if decay is outside [0, 1).
    Reference: Polyak 1964; Sutskever et al. 2013, equations 1-4.
    """
    return leafwise(momentum_rule, learning_rate, slots={"velocity": Slot()}, decay=decay, nesterov=nesterov)


def momentum_rule(g, velocity, *, decay, learning_rate, nesterov):
    velocity = decay * velocity - learning_rate * g
    u = decay * velocity - learning_rate * g if nesterov else velocity
    return -u, {"velocity": velocity}
