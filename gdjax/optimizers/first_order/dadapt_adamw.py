"""Adam with a learning rate that is a lower bound of the distance to the solution."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Slot
from gdjax.optimizers.treewise import Scalar, Vector, VectorDirection, treewise
from gdjax.types import ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}
_BETAS = {**_RATE, "betas": "[0, 1), ...", "estim_lr0": "(0, inf)"}


@optimizer(bounds=_BETAS)
def dadapt_adamw(
    learning_rate: ScalarOrSchedule = 1.0,
    betas: Any = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-8,
    estim_lr0: ScalarOrSchedule = 1e-6,
    weight_decay: ScalarOrSchedule = 0.0,
):
    """D-Adaptation for AdamW: the rate is a growing lower bound d of the distance to the solution.

        c = d learning_rate sqrt(1 - b2^t)/(1 - b1^t)
        r <- sqrt(b2) r + (1 - sqrt(b2)) c <g, s/(sqrt(v) + eps)>             with s and v as they were
        m <- b1 m + (1 - b1) c g,     v <- b2 v + (1 - b2) g²,     s <- sqrt(b2) s + (1 - sqrt(b2)) c g
        d <- max(d, r / ((1 - sqrt(b2)) |s|_1)),     u = -m/(sqrt(v) + eps) - weight_decay c p

    In the state m, v, s, d, r are exp_avg, exp_avg_sq, grad_sum, estim_lr, numerator_weighted. They are too small for
    parameters of 16 bits, and so are the first steps: `master_weights(dadapt_adamw())`.

    Args:
        learning_rate: factor of d, 1 or a schedule that starts there.
        betas: (b1, b2), each in [0, 1).
        eps: >= 0, gradient units.
        estim_lr0: > 0, the first d.
        weight_decay: >= 0, decoupled.

    Memory: 3 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax at complex parameters, where it averages g² instead of |g|², and at a first gradient of 0, which
        is NaN there.
    Reference: Defazio & Mishchenko 2023, Algorithm 5, arXiv:2301.07733.

    >>> opt, x, g = gd.dadapt_adamw(estim_lr0=0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [-0.099999 0.099999]
    """
    (b1, b2), vectors = betas, {"exp_avg": Slot(), "exp_avg_sq": Slot(real=True), "grad_sum": Slot()}
    slots = {**vectors, "estim_lr": Scalar(estim_lr0), "numerator_weighted": Scalar()}
    numbers = {"b1": b1, "b2": b2, "eps": eps, "weight_decay": weight_decay}
    return treewise(dadapt_adamw_rule, learning_rate, slots=slots, returns="step", **numbers)


def dadapt_adamw_rule(
    g: Vector,
    p: Vector,
    t: Array,
    exp_avg: Vector,
    exp_avg_sq: Vector,
    grad_sum: Vector,
    estim_lr: Array,
    numerator_weighted: Array,
    *,
    learning_rate: Any,
    b1: Any,
    b2: Any,
    eps: Any,
    weight_decay: Any,
) -> VectorDirection:
    c, keep = estim_lr * learning_rate * jnp.sqrt(1 - b2**t) / (1 - b1**t), b2**0.5
    r = keep * numerator_weighted + (1 - keep) * c * g.dot(grad_sum / (exp_avg_sq.map(jnp.sqrt) + eps))
    m = b1 * exp_avg + (1 - b1) * c * g
    v = b2 * exp_avg_sq + (1 - b2) * g.map(tree.abs_sq)
    s = keep * grad_sum + (1 - keep) * c * g
    d = jnp.maximum(estim_lr, tree.ratio(r, (1 - keep) * s.l1_norm()))
    new = {"exp_avg": m, "exp_avg_sq": v, "grad_sum": s, "estim_lr": d, "numerator_weighted": r}
    return m / (v.map(jnp.sqrt) + eps) + weight_decay * c * p, new
