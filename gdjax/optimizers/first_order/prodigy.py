"""Optimizers that find their own rate: from how far the parameters have come, or by betting on the gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls.node import optimizer
from gdjax.optimizers.first_order.polyak_sgd import _at, _check, _dot, _wide
from gdjax.optimizers.leafwise import Slot, _refuse_integers, leafwise
from gdjax.tree import abs_sq

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


@optimizer(static=("mask",), bounds={**_RATE, "alpha": "[0, inf)"})
def cocob(learning_rate=1.0, alpha=100.0, eps=1e-8, weight_decay=0.0, mask: Any = None):
    """COCOB: each coordinate bets a share of its winnings on the sign of its next gradient; no rate to choose.

        c = learning_rate (g + weight_decay p)
        scale <- max(scale, |c|),     subgradients <- subgradients + |c|,     cumulative_gradients <- ... - c
        reward <- max(0, reward - c (p - p0))
        u = p0 - p + cumulative_gradients / (scale max(subgradients + scale, alpha scale)) (scale + reward)

    Args:
        learning_rate: factor of the gradient; number, array or schedule.
        alpha: >= 0; how careful the first bets are.
        eps: > 0, gradient units; the first scale.
        weight_decay: >= 0, coupled: added to the gradient.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.

    Memory: 5 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax at complex parameters, which it has not, and in float16, where a first gradient of 0 is NaN there.
    Reference: Orabona & Tommasi 2017, Algorithm 2 (COCOB-Backprop), arXiv:1705.07795.
    """
    slots = {
        "init_particles": Slot(lambda p: p),
        "cumulative_gradients": Slot(),
        "scale": Slot(lambda p: jnp.full_like(p.real, eps), real=True),
        "subgradients": Slot(real=True),
        "reward": Slot(real=True),
    }
    pair = leafwise(cocob_rule, learning_rate, slots=slots, mask=mask, weight_decay=weight_decay, alpha=alpha)
    pair.exact = False  # the rate is a factor of the gradient
    return pair


def cocob_rule(
    g, p, init_particles, cumulative_gradients, scale, subgradients, reward, *, learning_rate, weight_decay, alpha
):
    c = learning_rate * (g + weight_decay * p)
    scale = jnp.maximum(scale, jnp.abs(c))
    subgradients = subgradients + jnp.abs(c)
    reward = jnp.maximum(reward - (jnp.conj(c) * (p - init_particles)).real, 0)
    cumulative_gradients = cumulative_gradients - c
    safe = jnp.where(scale > 0, scale, 1)  # float16 rounds eps to 0; then there has been no gradient, and no bet
    bet = cumulative_gradients / (safe * jnp.maximum(subgradients + safe, alpha * safe)) * (scale + reward)
    return (p - init_particles) - bet, {
        "init_particles": init_particles,
        "cumulative_gradients": cumulative_gradients,
        "scale": scale,
        "subgradients": subgradients,
        "reward": reward,
    }


def _copy(params: Any) -> Any:
    return jax.tree.map(lambda p: jnp.array(p, copy=True), params)


def _zeros(params: Any, real: bool = False) -> Any:
    return jax.tree.map(lambda p: jnp.zeros_like(p.real if real else p), params)


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
