"""Descent with momentum in the form of a velocity."""

from __future__ import annotations

from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import ScalarOrSchedule


@optimizer(static=("nesterov",), bounds={"learning_rate": "[0, inf)", "decay": "[0, 1)"})
def momentum(learning_rate: ScalarOrSchedule, decay: ScalarOrSchedule = 0.9, nesterov: bool = False):
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

    >>> opt, x, g = gd.momentum(0.1, decay=0.9), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> updates, state = opt.update(g, opt.init(x), x)
    >>> print(updates, opt.update(g, state, x + updates)[0])
    [-0.1 0.2] [-0.19 0.38]
    """
    return leafwise(
        momentum_rule, learning_rate, slots={"velocity": Slot()}, returns="step", decay=decay, nesterov=nesterov
    )


def momentum_rule(g: Array, velocity: Array, *, decay: Array, learning_rate: Array, nesterov: bool) -> Direction:
    velocity = decay * velocity - learning_rate * g
    u = decay * velocity - learning_rate * g if nesterov else velocity
    return -u, {"velocity": velocity}
