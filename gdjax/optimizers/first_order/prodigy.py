"""D-Adaptation with gradients weighted by the distance estimate."""

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


@optimizer(
    static=("safeguard_warmup",), bounds={**_BETAS, "beta3": "[0, 1)", "estim_lr_coef": "(0, inf)"}, constant=("betas",)
)
def prodigy(
    learning_rate: ScalarOrSchedule = 1.0,
    betas: Any = (0.9, 0.999),
    beta3: ScalarOrSchedule | None = None,
    eps: ScalarOrSchedule = 1e-8,
    estim_lr0: ScalarOrSchedule = 1e-6,
    estim_lr_coef: ScalarOrSchedule = 1.0,
    weight_decay: ScalarOrSchedule = 0.0,
    safeguard_warmup: bool = False,
):
    """Prodigy: D-Adaptation that trusts later estimates more, and so finds the distance faster.

        c = d learning_rate sqrt(1 - b2^t)/(1 - b1^t)
        m <- b1 m + (1 - b1) d g,     v <- b2 v + (1 - b2) d² g²,     s <- beta3 s + c d/d0 g
        r <- beta3 r + c d/d0 <g, p0 - p>,     d <- max(d, estim_lr_coef r / |s|_1)
        u = -c m/(sqrt(v) + d eps) - weight_decay c p

    In the state m, v, s, d, r are exp_avg, exp_avg_sq, grad_sum, estim_lr, numerator_weighted. They are too small for
    parameters of 16 bits, and so are the first steps: `master_weights(prodigy())`.

    Args:
        learning_rate: factor of d, 1 or a schedule that starts there.
        betas: (b1, b2), each in [0, 1).
        beta3: in [0, 1), decay rate of r and s (default: sqrt(b2)).
        eps: >= 0, gradient units.
        estim_lr0: > 0, the first d, d0.
        estim_lr_coef: > 0, factor of the estimate.
        weight_decay: >= 0, decoupled.
        safeguard_warmup: leave the rate out of s, for a warm-up.

    Memory: 4 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax at complex parameters, where it is silently wrong (g² instead of |g|², a complex distance), and
        at a first gradient of 0, which is NaN there.
    Reference: Mishchenko & Defazio 2024, Algorithm 4, arXiv:2306.06101.

    >>> opt, x, g = gd.prodigy(estim_lr0=0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.099999 0.099999]
    """
    (b1, b2), keep = betas, betas[1] ** 0.5 if beta3 is None else beta3
    vectors = {"exp_avg": Slot(), "exp_avg_sq": Slot(real=True), "grad_sum": Slot(), "params0": Slot(lambda p: p)}
    slots = {**vectors, "estim_lr": Scalar(estim_lr0), "numerator_weighted": Scalar()}
    numbers = {"b1": b1, "b2": b2, "b3": keep, "eps": eps, "d0": estim_lr0, "coef": estim_lr_coef}
    flags = {"safeguard_warmup": safeguard_warmup}
    return treewise(
        prodigy_rule, learning_rate, slots=slots, returns="step", weight_decay=weight_decay, static=flags, **numbers
    )


def prodigy_rule(
    g: Vector,
    p: Vector,
    t: Array,
    exp_avg: Vector,
    exp_avg_sq: Vector,
    grad_sum: Vector,
    params0: Vector,
    estim_lr: Array,
    numerator_weighted: Array,
    *,
    learning_rate: Any,
    b1: Any,
    b2: Any,
    b3: Any,
    eps: Any,
    d0: Any,
    coef: Any,
    weight_decay: Any,
    safeguard_warmup: bool,
) -> VectorDirection:
    d = estim_lr
    c = d * learning_rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
    m = b1 * exp_avg + (1 - b1) * d * g
    v = b2 * exp_avg_sq + (1 - b2) * (d * g).map(tree.abs_sq)
    s = b3 * grad_sum + (d if safeguard_warmup else c) * d / d0 * g
    r = b3 * numerator_weighted + d / d0 * c * g.dot(params0 - p)
    d = jnp.maximum(d, tree.ratio(coef * r, s.l1_norm()))
    new = {"exp_avg": m, "exp_avg_sq": v, "grad_sum": s, "estim_lr": d, "numerator_weighted": r}
    return c * m / (v.map(jnp.sqrt) + d * eps) + weight_decay * c * p, new
