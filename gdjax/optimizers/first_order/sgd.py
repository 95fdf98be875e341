"""Gradient descent with one learning rate, with or without momentum."""

from __future__ import annotations

from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import DTypeLike, ScalarOrSchedule


@optimizer(static=("nesterov", "accumulator_dtype"), bounds={"learning_rate": "[0, inf)", "momentum": "[0, 1)"})
def sgd(
    learning_rate: ScalarOrSchedule,
    momentum: ScalarOrSchedule | None = None,
    nesterov: bool = False,
    accumulator_dtype: DTypeLike | None = None,
):
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
        accumulator_dtype: dtype of the trace (default: that of the parameter).

    Memory: 1 x params (0 without momentum).   Raises: ValueError if momentum is outside [0, 1).
    Reference: Robbins & Monro 1951; Polyak 1964; Sutskever et al. 2013, section 2 (Nesterov).

    >>> opt, x, g = gd.sgd(0.1, momentum=0.9), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> updates, state = opt.update(g, opt.init(x), x)
    >>> print(updates, opt.update(g, state, x + updates)[0])
    [-0.1 0.2] [-0.19 0.38]
    """
    if momentum is None:
        return leafwise(sgd_rule, learning_rate)
    slots = {"trace": Slot(dtype=accumulator_dtype)}
    return leafwise(trace_rule, learning_rate, slots=slots, momentum=momentum, nesterov=nesterov)


def sgd_rule(g: Array) -> Direction:
    return g, {}


def trace_rule(g: Array, trace: Array, *, momentum: Array, nesterov: bool) -> Direction:
    trace = g + momentum * trace
    return (g + momentum * trace if nesterov else trace), {"trace": trace}
