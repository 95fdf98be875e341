"""D-Adaptation with gradients weighted by the estimate itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.first_order.dadapt_adamw import _l1, _zeros
from gdjax.optimizers.first_order.dog import _copy
from gdjax.optimizers.first_order.momo import _check, _dot
from gdjax.optimizers.first_order.polyak_sgd import _at, _wide
from gdjax.optimizers.leafwise import _refuse_integers
from gdjax.tree import abs_sq

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


_BETAS = {**_RATE, "betas": "[0, 1)", "estim_lr0": "(0, inf)"}


class ProdigyState(NamedTuple):
    exp_avg: Any
    exp_avg_sq: Any
    grad_sum: Any
    params0: Any
    estim_lr: jax.Array  # () float, the distance to the solution, from below
    numerator_weighted: jax.Array
    count: jax.Array


@optimizer(static=("safeguard_warmup",), bounds={**_BETAS, "beta3": "[0, 1)", "estim_lr_coef": "(0, inf)"})
def prodigy(
    learning_rate=1.0,
    betas: Any = (0.9, 0.999),
    beta3=None,
    eps=1e-8,
    estim_lr0=1e-6,
    estim_lr_coef=1.0,
    weight_decay=0.0,
    safeguard_warmup=False,
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
        beta3: in [0, 1), of r and s; None is sqrt(b2).
        eps: >= 0, gradient units.
        estim_lr0: > 0, the first d, d0.
        estim_lr_coef: > 0, factor of the estimate.
        weight_decay: >= 0, decoupled.
        safeguard_warmup: leave the rate out of s, for a warm-up.

    Memory: 4 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax at complex parameters, where it is silently wrong (g² instead of |g|², a complex distance), and
        at a first gradient of 0, which is NaN there.
    Reference: Mishchenko & Defazio 2024, Algorithm 4, arXiv:2306.06101.
    """
    (b1, b2), keep = betas, betas[1] ** 0.5 if beta3 is None else beta3

    def init(params):
        _refuse_integers("prodigy", params)
        number = jnp.result_type(float)
        zeros = (_zeros(params), _zeros(params, real=True), _zeros(params))
        d, r = jnp.asarray(estim_lr0, number), jnp.zeros((), number)
        return ProdigyState(*zeros, _copy(params), d, r, jnp.zeros((), jnp.int32))

    def update(grads, state, params=None, **extra_args):
        _check("prodigy", grads, params)
        t, d = tree.increment(state.count), state.estim_lr
        c = d * _at(learning_rate, state.count) * jnp.sqrt(1 - b2**t) / (1 - b1**t)
        come = jax.tree.map(lambda start, p: _wide(start) - _wide(p), state.params0, params)
        m = jax.tree.map(lambda m, g: b1 * _wide(m) + (1 - b1) * d * _wide(g), state.exp_avg, grads)
        v = jax.tree.map(lambda v, g: b2 * _wide(v) + (1 - b2) * abs_sq(d * _wide(g)), state.exp_avg_sq, grads)
        weight = (d if safeguard_warmup else c) * d / estim_lr0
        s = jax.tree.map(lambda s, g: keep * _wide(s) + weight * _wide(g), state.grad_sum, grads)
        r = keep * state.numerator_weighted + d / estim_lr0 * c * _dot(grads, come)
        size = _l1(s)
        new_d = jnp.maximum(d, tree.ratio(estim_lr_coef * r, size))

        def of_leaf(m, v, p):
            return (-weight_decay * c * _wide(p) - c * m / (jnp.sqrt(v) + new_d * eps)).astype(p.dtype)

        new = ProdigyState(m, v, s, state.params0, new_d, r, t)
        return jax.tree.map(of_leaf, m, v, params), tree.cast_like(new, state)

    return init, update
