"""Distance over gradients: the rate is how far the parameters have come, over the gradients seen."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.first_order.momo import _check
from gdjax.optimizers.first_order.polyak_sgd import _at, _wide
from gdjax.optimizers.leafwise import _refuse_integers

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


def _copy(params: Any) -> Any:
    return jax.tree.map(lambda p: jnp.array(p, copy=True), params)


def _decayed(grads: Any, params: Any, weight_decay: Any, mask: Any) -> Any:
    """The gradients in at least float32, with coupled decay."""
    if weight_decay is None:
        return jax.tree.map(_wide, grads)
    chosen = tree.spread_mask(mask, params)
    return jax.tree.map(lambda g, p, c: _wide(g) + weight_decay * _wide(p) if c else _wide(g), grads, params, chosen)


def _distance(a: Any, b: Any) -> jax.Array:
    return tree.global_norm(jax.tree.map(lambda x, y: _wide(x) - _wide(y), a, b))


class DoGState(NamedTuple):
    is_init_step: jax.Array
    init_params: Any
    max_dist: jax.Array  # () float, the farthest that the parameters have been from their start
    norm_grads: jax.Array  # () float, the root of Optax's sum_sq_norm_grads
    count: jax.Array


@optimizer(static=("mask",), bounds=_RATE)
def dog(learning_rate=1.0, init_step: Any = ("heuristic", 1e-6), eps=1e-8, weight_decay=None, mask: Any = None):
    """DoG, distance over gradients: the rate is how far one has come over how much gradient one has seen.

        max_dist <- max(max_dist, |p - p0|),     norm_grads² <- norm_grads² + |g|²
        u = -learning_rate max_dist / sqrt(norm_grads² + eps) g

    Its last iterate wants averaging: `tail_average(dog())`.

    Args:
        learning_rate: factor; number, array or schedule.
        init_step: the first max_dist: ("distance", d), ("heuristic", a) for a (1 + |p0|), or ("learning_rate", r), which
            makes r the first rate.
        eps: >= 0, gradient units squared.
        weight_decay: >= 0, coupled: added to the gradient; None is none.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.

    Memory: 1 x params.   Raises: ValueError outside these ranges, or for another kind of init_step.
    Differs from: Optax in bfloat16, where its sum of squares stops growing, as it has the parameters' dtype.
    Reference: Ivgi, Hinder & Carmon 2023, equation 1, arXiv:2302.12022.
    """
    kind, first = init_step
    if kind not in ("distance", "heuristic", "learning_rate"):
        raise ValueError(f"dog: init_step must begin with 'distance', 'heuristic' or 'learning_rate', got {kind!r}")

    def init(params):
        _refuse_integers("dog", params)
        tree.check_mask(mask, params)
        number = jnp.result_type(float)
        start = {"distance": lambda: first, "heuristic": lambda: first * (1 + tree.global_norm(params))}
        max_dist = jnp.asarray(start.get(kind, lambda: 0.0)(), number)
        return DoGState(jnp.asarray(True), _copy(params), max_dist, jnp.zeros((), number), jnp.zeros((), jnp.int32))

    def update(grads, state, params=None, **extra_args):
        _check("dog", grads, params)
        g = _decayed(grads, params, weight_decay, mask)
        max_dist = jnp.maximum(state.max_dist, _distance(params, state.init_params))
        total = jnp.hypot(state.norm_grads, tree.global_norm(g))
        divisor = jnp.hypot(total, tree.root(eps))
        if kind == "learning_rate":
            max_dist, divisor = [jnp.where(state.is_init_step, *x) for x in ((first, max_dist), (1, divisor))]
        step = _at(learning_rate, state.count) * max_dist
        new = DoGState(jnp.asarray(False), state.init_params, max_dist, total, tree.increment(state.count))
        updates = jax.tree.map(lambda g, p: (-step * tree.ratio(g, divisor)).astype(p.dtype), g, params)
        return updates, tree.cast_like(new, state)

    return init, update
