"""A rate for each coordinate: descent divided by the gradient's own recent size."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}


@optimizer(
    static=("eps_in_sqrt", "centered", "nesterov", "bias_correction"),
    bounds={**_RATE, "decay": "[0, 1)", "initial_scale": "[0, inf)", "momentum": "[0, 1)"},
)
def rmsprop(
    learning_rate: ScalarOrSchedule,
    decay: ScalarOrSchedule = 0.9,
    eps: ScalarOrSchedule = 1e-8,
    initial_scale: ScalarOrSchedule = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: ScalarOrSchedule | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
):
    """RMSProp: descent divided by the root of a running mean of squares.

        nu <- decay nu + (1 - decay) g²,      d = g / sqrt(nu + eps)
        mu <- decay mu + (1 - decay) g,       d = g / sqrt(nu - |mu|² + eps)                   centered
        u = -learning_rate d,    or    trace <- momentum trace + learning_rate d,  u = -trace  momentum

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        decay: in [0, 1); memory of about 1/(1 - decay) steps.
        eps: >= 0; gradient units squared inside the root, gradient units outside it.
        initial_scale: >= 0; nu's first value, gradient units squared.
        eps_in_sqrt: False puts eps outside the root, as torch does.
        centered: divide by the standard deviation instead.
        momentum: in [0, 1) or None; it follows the learning rate.
        nesterov: of that momentum.
        bias_correction: divide nu (and mu) by 1 - decay^t.

    Memory: 1 x params (+1 centered, +1 momentum).   Raises: ValueError outside these ranges.
    Differs from: Optax where centered rounding makes nu < |mu|²: the variance is taken as 0 there, not as NaN. The
        lectures' RMSProp has no eps and divides 0 by 0 at a zero gradient.
    Reference: Tieleman & Hinton 2012, lecture 6e; Graves 2013, arXiv:1308.0850, equations 38-45 (centered, momentum).

    >>> opt, x, g = gd.rmsprop(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.31623 0.31623]
    """
    slots: dict[str, Any] = {"nu": Slot(initial_scale, real=True)}
    slots |= {"mu": Slot()} if centered else {}
    slots |= {"trace": Slot()} if momentum is not None else {}
    options: dict[str, Any] = {} if momentum is None else {"momentum": momentum, "nesterov": nesterov}
    rule, returns = (rmsprop_rule, "direction") if momentum is None else (rmsprop_momentum_rule, "step")
    flags: dict[str, Any] = {"eps_in_sqrt": eps_in_sqrt, "bias_correction": bias_correction}
    return leafwise(rule, learning_rate, slots=slots, returns=returns, decay=decay, eps=eps, **flags, **options)


def rmsprop_rule(
    g: Array,
    t: Array,
    nu: Array,
    mu: Array | None = None,
    *,
    decay: Array,
    eps: Array,
    eps_in_sqrt: bool,
    bias_correction: bool,
) -> Direction:
    nu = decay * nu + (1 - decay) * abs_sq(g)
    correction = 1 - decay**t if bias_correction else 1
    variance, new = nu / correction, {"nu": nu}
    if mu is not None:
        mu = decay * mu + (1 - decay) * g
        variance, new["mu"] = jnp.maximum(variance - abs_sq(mu / correction), 0), mu
    scale = jax.lax.rsqrt(variance + eps) if eps_in_sqrt else 1 / (jnp.sqrt(variance) + eps)
    return scale * g, new


def rmsprop_momentum_rule(
    g: Array,
    t: Array,
    nu: Array,
    trace: Array,
    mu: Array | None = None,
    *,
    learning_rate: Array,
    momentum: Array,
    nesterov: bool,
    **options: Any,
) -> Direction:
    direction, new = rmsprop_rule(g, t, nu, mu, **options)
    step = learning_rate * direction
    trace = step + momentum * trace
    return (step + momentum * trace if nesterov else trace), {**new, "trace": trace}
