"""Steps by the sign of the derivative, with an adaptive step size per coordinate."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer, rate_of
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import ScalarOrSchedule


@optimizer(
    static=("delayed",),
    bounds={
        "learning_rate": "[0, inf)",
        "eta_minus": "(0, 1]",
        "eta_plus": "[1, inf)",
        "min_step_size": "[0, inf)",
        "max_step_size": "[0, inf)",
    },
)
def rprop(
    learning_rate: ScalarOrSchedule,
    eta_minus: ScalarOrSchedule = 0.5,
    eta_plus: ScalarOrSchedule = 1.2,
    min_step_size: ScalarOrSchedule = 1e-6,
    max_step_size: ScalarOrSchedule = 50.0,
    *,
    delayed: bool = True,
):
    """Rprop: every coordinate has a step of its own, that grows while its slope keeps its sign and shrinks when it turns.

        s = g prev_updates
        step_sizes <- clip(eta_plus step_sizes) if s > 0,  clip(eta_minus step_sizes) if s < 0,  unchanged if s = 0
        d = 0 if s < 0, else step_sizes sign(g)
        u = -d,   or delayed   u = 0 if s < 0, else -prev_updates;       prev_updates <- d

    After a turn the coordinate rests for one step. Made for full batches: with noisy gradients the signs mean little.

    Args:
        learning_rate: the first step size, in parameter units.
        eta_minus: in (0, 1].
        eta_plus: at least 1.
        min_step_size, max_step_size: what the step sizes are clipped to.
        delayed: take the step of the iteration before, as Optax does; so the first update is 0. False is the paper's.

    Memory: 2 x params.   Raises: ValueError outside these ranges, TypeError for complex parameters.
    Differs from: torch.optim.Rprop and the paper in the delay, which is Optax's.
    Reference: Riedmiller & Braun 1993, doi:10.1109/ICNN.1993.298623; without weight-backtracking, Igel & Hüsken 2000.

    >>> opt, x, g = gd.rprop(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> updates, state = opt.update(g, opt.init(x), x)
    >>> print(updates, opt.update(g, state, x + updates)[0])
    [-0. -0.] [-0.1 0.1]
    """
    first: Any = learning_rate(0) if callable(learning_rate) else learning_rate
    slots: dict[str, Any] = {"step_sizes": Slot(lambda p: full_like_real(p, first), real=True), "prev_updates": Slot()}
    options: dict[str, Any] = {"eta_minus": eta_minus, "eta_plus": eta_plus, "delayed": delayed}
    limits: dict[str, Any] = {"min_step_size": min_step_size, "max_step_size": max_step_size}
    pair = leafwise(rprop_rule, 1.0, slots=slots, **options, **limits)
    pair.rate_at, pair.exact = lambda state, _: rate_of(learning_rate, state), False
    return pair


def full_like_real(p: Array, size: Any) -> Array:
    """The first step sizes."""
    if jnp.iscomplexobj(p):
        raise TypeError(f"rprop: params must be real, for a complex slope has no sign, got {p.dtype}")
    return jnp.full_like(p, size)


def rprop_rule(
    g: Array,
    step_sizes: Array,
    prev_updates: Array,
    *,
    eta_minus: Array,
    eta_plus: Array,
    min_step_size: Array,
    max_step_size: Array,
    delayed: bool,
) -> Direction:
    agreement = g * prev_updates
    factor = jnp.where(agreement > 0, eta_plus, eta_minus)
    clipped = jnp.clip(step_sizes * factor, min_step_size, max_step_size)
    step_sizes = jnp.where(agreement == 0, step_sizes, clipped)
    d = jnp.where(agreement < 0, 0, step_sizes * jnp.sign(g))
    u = jnp.where(agreement < 0, 0, prev_updates) if delayed else d
    return u, {"step_sizes": step_sizes, "prev_updates": d}
