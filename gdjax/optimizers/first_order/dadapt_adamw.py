"""Adam that bounds the distance to the solution from below, and takes it as its rate."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.first_order.momo import _check, _dot
from gdjax.optimizers.first_order.polyak_sgd import _at, _wide
from gdjax.optimizers.leafwise import _refuse_integers
from gdjax.tree import abs_sq

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


def _zeros(params: Any, real: bool = False) -> Any:
    return jax.tree.map(lambda p: jnp.zeros_like(p.real if real else p), params)


def _l1(t: Any) -> jax.Array:
    return sum((jnp.sum(jnp.abs(_wide(x))) for x in jax.tree.leaves(t)), start=jnp.zeros((), jnp.result_type(float)))


class DAdaptAdamWState(NamedTuple):
    exp_avg: Any
    exp_avg_sq: Any
    grad_sum: Any
    estim_lr: jax.Array  # () float, the distance to the solution, from below
    numerator_weighted: jax.Array
    count: jax.Array


_BETAS = {**_RATE, "betas": "[0, 1)", "estim_lr0": "(0, inf)"}


@optimizer(bounds=_BETAS)
def dadapt_adamw(learning_rate=1.0, betas: Any = (0.9, 0.999), eps=1e-8, estim_lr0=1e-6, weight_decay=0.0):
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
    """
    b1, b2 = betas

    def init(params):
        _refuse_integers("dadapt_adamw", params)
        number = jnp.result_type(float)
        zeros = (_zeros(params), _zeros(params, real=True), _zeros(params))
        return DAdaptAdamWState(*zeros, jnp.asarray(estim_lr0, number), jnp.zeros((), number), jnp.zeros((), jnp.int32))

    def update(grads, state, params=None, **extra_args):
        _check("dadapt_adamw", grads, params)
        t, root = tree.increment(state.count), b2**0.5
        c = state.estim_lr * _at(learning_rate, state.count) * jnp.sqrt(1 - b2**t) / (1 - b1**t)
        scaled = jax.tree.map(lambda s, v: _wide(s) / (jnp.sqrt(_wide(v)) + eps), state.grad_sum, state.exp_avg_sq)
        r = root * state.numerator_weighted + (1 - root) * c * _dot(grads, scaled)
        m = jax.tree.map(lambda m, g: b1 * _wide(m) + (1 - b1) * c * _wide(g), state.exp_avg, grads)
        v = jax.tree.map(lambda v, g: b2 * _wide(v) + (1 - b2) * abs_sq(_wide(g)), state.exp_avg_sq, grads)
        s = jax.tree.map(lambda s, g: root * _wide(s) + (1 - root) * c * _wide(g), state.grad_sum, grads)
        size = (1 - root) * _l1(s)
        d = jnp.maximum(state.estim_lr, tree.ratio(r, size))

        def of_leaf(m, v, p):
            return (-weight_decay * c * _wide(p) - m / (jnp.sqrt(v) + eps)).astype(p.dtype)

        new = DAdaptAdamWState(m, v, s, d, r, t)
        return jax.tree.map(of_leaf, m, v, params), tree.cast_like(new, state)

    return init, update
