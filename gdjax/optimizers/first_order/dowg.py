"""Distance over weighted gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.first_order.dog import _copy, _decayed, _distance
from gdjax.optimizers.first_order.momo import _check
from gdjax.optimizers.first_order.polyak_sgd import _at
from gdjax.optimizers.leafwise import _refuse_integers

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


class DoWGState(NamedTuple):
    init_params: Any
    weighted_norm_grads: jax.Array  # () float, the roots of Optax's weighted_sq_norm_grads and estim_sq_dist
    estim_dist: jax.Array
    count: jax.Array


@optimizer(static=("mask",), bounds={**_RATE, "init_estim_sq_dist": "(0, inf)"})
def dowg(learning_rate=1.0, init_estim_sq_dist=None, eps=1e-4, weight_decay=None, mask: Any = None):
    """DoWG, distance over weighted gradients: DoG in which later, farther gradients weigh more.

        estim_dist <- max(estim_dist, |p - p0|)
        weighted_norm_grads² <- weighted_norm_grads² + estim_dist² |g|²
        u = -learning_rate estim_dist² / (weighted_norm_grads + eps) g

    Args:
        learning_rate: factor; number, array or schedule.
        init_estim_sq_dist: > 0, the first squared distance; None is eps.
        eps: > 0.
        weight_decay: >= 0, coupled: added to the gradient; None is none.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Reference: Khaled, Mishchenko & Jin 2023, Algorithm 1, arXiv:2305.16284.
    """

    def init(params):
        _refuse_integers("dowg", params)
        tree.check_mask(mask, params)
        number = jnp.result_type(float)
        first = jnp.asarray(eps if init_estim_sq_dist is None else init_estim_sq_dist, number)
        return DoWGState(_copy(params), jnp.zeros((), number), jnp.sqrt(first), jnp.zeros((), jnp.int32))

    def update(grads, state, params=None, **extra_args):
        _check("dowg", grads, params)
        g = _decayed(grads, params, weight_decay, mask)
        dist = jnp.maximum(state.estim_dist, _distance(params, state.init_params))
        total = jnp.hypot(state.weighted_norm_grads, dist * tree.global_norm(g))
        step, divisor = _at(learning_rate, state.count) * dist, total + eps
        new = DoWGState(state.init_params, total, dist, tree.increment(state.count))
        updates = jax.tree.map(lambda g, p: (-step * tree.ratio(dist * g, divisor)).astype(p.dtype), g, params)
        return updates, tree.cast_like(new, state)

    return init, update
