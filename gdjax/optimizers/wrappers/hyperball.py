"""Matrices of constant norm, updated by rotation, in place of weight decay."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import answers, tree
from gdjax.calls import WithRate, as_optimizer, inner_state, is_number, optimizer, rate_of, spread_rates
from gdjax.types import ScalarOrSchedule, Transformation


class HyperballState(NamedTuple):
    count: jax.Array  # () int32, updates so far
    inner: Any
    radius: Any  # for each leaf the length that it keeps, (); 0 if it does not turn


@optimizer(static=("mask",), bounds={"learning_rate": "[0, inf)"})
def hyperball(inner: Transformation, learning_rate: ScalarOrSchedule, mask: Any = None):
    """Hyperball: each matrix stays on the sphere of its first length and is turned by the direction of an update alone.

        R = |p_0|,      p <- R unit(p + learning_rate R unit(u_inner)),      unit(x) = x / |x|, of each leaf

    `hyperball(adam(3e-4), 0.02)` is AdamH, `hyperball(muon(0.02), 0.02)` MuonH. Leaves off the mask get the inner update as
    it is, and so does a leaf that begins at 0, which has no sphere.

    Args:
        inner: gives the directions, and the updates of the other leaves; without weight decay, which the sphere replaces.
        learning_rate: the sine of the largest angle of a step; number, or schedule of the updates made.
        mask: which leaves turn: a tree of bools (or a prefix of one), or params -> such a tree; None means those of two axes
            and more.

    Memory: 0 + inner.   Raises: ValueError outside this range, or if update is called without params.
    Reference: Wen et al. 2026, arXiv:2606.16899.

    >>> opt, x, g = gd.hyperball(gd.sgd(1.0), 0.1), jnp.array([[3.0, 4.0]]), jnp.array([[4.0, -3.0]])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [[-0.4129 0.27866]]
    """
    inner = as_optimizer(inner)
    turning = _matrices if mask is None else mask

    def init(params):
        tree.check_mask(turning, params)
        chosen = tree.spread_mask(turning, params)
        radius = jax.tree.map(lambda p, c: tree.global_norm(p) * c, params, chosen)
        return HyperballState(jnp.zeros((), jnp.int32), inner.init(params), radius)

    def update(grads, state, params=None, **extra_args):
        tree.need_params("hyperball", params, "turn them")
        updates, inside = inner.update(grads, state.inner, params, **extra_args)
        made, rate = answers.updated(inside), rate_of(learning_rate, state)

        def of_leaf(p, u, radius, turns):
            return answers.if_updated(made, _turn(p, u, rate, radius), u) if turns else u

        turned = jax.tree.map(of_leaf, params, updates, state.radius, tree.spread_mask(turning, params))
        return turned, HyperballState(tree.increment(state.count, made), inside, state.radius)

    def rate_at(state, evaluation):
        if is_number(state):
            return rate_of(learning_rate, state)
        own, radii = rate_of(learning_rate, state), jax.tree.leaves(state.radius)
        rates = spread_rates(inner.learning_rates_at(inner_state(state), evaluation), len(radii))
        return [own if r is None else jnp.where(x > 0, own, r) for r, x in zip(rates, radii, strict=True)]

    return WithRate(init, update, rate_at)


def _matrices(params: Any) -> Any:
    return jax.tree.map(lambda p: p.ndim >= 2, params)


def _turn(p: jax.Array, u: jax.Array, rate: Any, radius: jax.Array) -> jax.Array:
    """The update that rotates p in the direction of u; u itself if the radius or u is 0."""
    wide = p.astype(tree.arithmetic_dtype(p))
    ahead = wide + rate * radius * tree.direction(u.astype(wide.dtype))
    return jnp.where((radius > 0) & jnp.any(u != 0), radius * tree.direction(ahead) - wide, u).astype(u.dtype)
