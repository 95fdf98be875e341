"""Steps by the sign of the derivative: every coordinate goes the same way length, whatever its slope."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gdjax.calls.node import optimizer, rate_of
from gdjax.optimizers.leafwise import Slot, leafwise


@optimizer(bounds={"learning_rate": "[0, inf)"})
def sign_sgd(learning_rate):
    """Sign descent: a step of fixed length in every coordinate, against its slope.

        u = -learning_rate sign(g)                     sign(0) = 0; of a complex number g/|g|

    It does not come to rest: near the minimum it steps to and fro by the rate.

    Args:
        learning_rate: the step, in parameter units; number, array or schedule.

    Memory: 0 x params.   Raises: ValueError if learning_rate is negative.
    Reference: Bernstein et al. 2018, Algorithm 1, arXiv:1802.04434.
    """
    return leafwise(sign_sgd_rule, learning_rate)


def sign_sgd_rule(g):
    return jnp.sign(g), {}


@optimizer(static=("accumulator_dtype",), bounds={"learning_rate": "[0, inf)", "beta": "[0, 1)"})
def signum(learning_rate, beta=0.9, accumulator_dtype: Any = None):
    """Signum: the sign of a running mean of gradients.

        ema <- beta ema + (1 - beta) g,      u = -learning_rate sign(ema)

    Args:
        learning_rate: the step, in parameter units; number, array or schedule.
        beta: in [0, 1); memory of about 1/(1 - beta) steps.
        accumulator_dtype: of the mean; None is the parameter's.

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Reference: Bernstein et al. 2018, Algorithm 2, arXiv:1802.04434.
    """
    return leafwise(signum_rule, learning_rate, slots={"ema": Slot(dtype=accumulator_dtype)}, beta=beta)


def signum_rule(g, ema, *, beta):
    ema = beta * ema + (1 - beta) * g
    return jnp.sign(ema), {"ema": ema}


@optimizer(
    static=("mu_dtype", "mask"),
    bounds={"learning_rate": "[0, inf)", "b1": "[0, 1)", "b2": "[0, 1)", "weight_decay": "[0, inf)"},
)
def lion(learning_rate, b1=0.9, b2=0.99, mu_dtype: Any = None, weight_decay=1e-3, mask: Any = None):
    """Lion: the sign of a mean that weighs the present gradient more than its memory will.

        u = -learning_rate (sign(b1 mu + (1 - b1) g) + weight_decay p),      mu <- b2 mu + (1 - b2) g

    Steps are as long as the rate, so it wants 3 to 10 times less of it than Adam, and as much more decay.

    Args:
        learning_rate: the step, in parameter units; number, array or schedule.
        b1: in [0, 1), of the mean whose sign is taken.
        b2: in [0, 1), of the memory.
        mu_dtype: of the memory; None is the parameter's.
        weight_decay: >= 0, decoupled, per step and unit of learning rate; number, array or schedule.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Reference: Chen et al. 2023, Algorithm 2, arXiv:2302.06675.
    """
    decay = {"weight_decay": weight_decay, "mask": mask}
    return leafwise(lion_rule, learning_rate, slots={"mu": Slot(dtype=mu_dtype)}, b1=b1, b2=b2, **decay)


def lion_rule(g, mu, *, b1, b2):
    return jnp.sign(b1 * mu + (1 - b1) * g), {"mu": b2 * mu + (1 - b2) * g}


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
def rprop(learning_rate, eta_minus=0.5, eta_plus=1.2, min_step_size=1e-6, max_step_size=50.0, *, delayed=True):
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

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Differs from: torch.optim.Rprop and the paper in the delay, which is Optax's.
    Reference: Riedmiller & Braun 1993, doi:10.1109/ICNN.1993.298623; without weight-backtracking, Igel & Hüsken 2000.
    """
    first: Any = learning_rate(0) if callable(learning_rate) else learning_rate
    slots: dict[str, Any] = {"step_sizes": Slot(lambda p: jnp.full_like(p, first), real=True), "prev_updates": Slot()}
    options: dict[str, Any] = {"eta_minus": eta_minus, "eta_plus": eta_plus, "delayed": delayed}
    limits: dict[str, Any] = {"min_step_size": min_step_size, "max_step_size": max_step_size}
    pair = leafwise(rprop_rule, 1.0, slots=slots, **options, **limits)
    pair.rate_at, pair.exact = lambda state, _: rate_of(learning_rate, state), False
    return pair


def rprop_rule(g, step_sizes, prev_updates, *, eta_minus, eta_plus, min_step_size, max_step_size, delayed):
    agreement = g * prev_updates
    factor = jnp.where(agreement > 0, eta_plus, eta_minus)
    clipped = jnp.clip(step_sizes * factor, min_step_size, max_step_size)
    step_sizes = jnp.where(agreement == 0, step_sizes, clipped)
    d = jnp.where(agreement < 0, 0, step_sizes * jnp.sign(g))
    u = jnp.where(agreement < 0, 0, prev_updates) if delayed else d
    return u, {"step_sizes": step_sizes, "prev_updates": d}
