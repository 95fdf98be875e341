"""A learned scale for the steps of any optimizer."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import answers, tree
from gdjax.calls import WithRate, as_optimizer, inner_state, is_number, optimizer, scale_rates
from gdjax.types import ArrayLike, Transformation


class MechanicState(NamedTuple):
    base_optimizer_state: Any
    count: jax.Array
    r: jax.Array  # (num_betas,) reward
    m: jax.Array  # (num_betas,) largest |h|
    v: jax.Array  # (num_betas,) root of the sum of h²
    s: jax.Array  # (num_betas,) scales, whose sum multiplies the base optimizer's path
    x0: Any  # the parameters at the start


@optimizer(
    static=("num_betas",),
    bounds={"weight_decay": "[0, inf)", "eps": "[0, inf)", "s_init": "(0, inf)"},
    ints=("num_betas",),
    constant=("weight_decay", "eps", "s_init", "num_betas"),
)
def mechanize(
    base_optimizer: Transformation,
    weight_decay: ArrayLike = 1e-2,
    eps: ArrayLike = 1e-8,
    s_init: ArrayLike = 1e-6,
    num_betas: int = 6,
):
    """Mechanic: the base optimizer gives the path, an online learner the scale by which it is followed.

        delta = (p - x0)/sum(s),      h = -<g + weight_decay sum(s) |g| p/|p|, delta>
        m <- max(beta m, |h|),   v <- beta² v + h²,   r <- beta r + clip(h, -m, m) s
        s <- (s_init m/num_betas + max(0, r)) / sqrt(v),      u = x0 + sum(s) (delta + u_base) - p

    with beta = 1 - 0.1^i for i = 1, ..., num_betas. So the base optimizer's rate need only have the right course.

    Args:
        base_optimizer: any optimizer; a rate of 1 times a schedule is usual.
        weight_decay: >= 0, dimensionless.
        eps: >= 0, added to every divisor.
        s_init: > 0, the first scale.
        num_betas: how many memories are run side by side.

    Memory: 1 x params + base.   Raises: ValueError outside these ranges.
    Reference: Cutkosky, Defazio & Mehta 2023, Algorithm 1, arXiv:2306.00144.

    >>> opt, x, g = gd.mechanize(gd.sgd(1.0), s_init=0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [-0.1 0.2]
    """
    base = as_optimizer(base_optimizer)

    def init(params):
        zero = jnp.zeros((num_betas,), jnp.result_type(float))
        x0 = jax.tree.map(lambda p: jnp.array(p, copy=True), params)
        return MechanicState(base.init(params), jnp.zeros((), jnp.int32), zero, zero, zero, zero + s_init, x0)

    def update(grads, state, params=None, **extra_args):
        tree.need_params("mechanize", params)
        tree.check_like("mechanize", "grads", grads, "params", params)
        u, base_state = base.update(grads, state.base_optimizer_state, params, **extra_args)
        x0 = tree.select(state.count == 0, params, state.x0)
        scale = jnp.sum(state.s)
        # minus the path
        delta = jax.tree.map(lambda p, start: (start - tree.wide(p)) / (scale + eps), params, x0)
        pull = weight_decay * scale * tree.global_norm(grads) / (tree.global_norm(params) + eps)
        h = sum(
            tree.leafmap(lambda g, p, d: jnp.vdot(tree.wide(g) + pull * p, d).real, grads, params, delta),
            start=jnp.zeros((), state.s.dtype),
        )
        m, v, r, s = _learn(state, h, eps, s_init)

        def of_leaf(p, start, d, ui):
            return ((start - jnp.sum(s) * (d - ui)) - p).astype(p.dtype)

        updates = jax.tree.map(of_leaf, params, x0, delta, u)
        made, before = answers.updated(base_state), state._replace(base_optimizer_state=base_state)
        new = tree.cast_like(MechanicState(base_state, tree.increment(state.count), r, m, v, s, x0), before)
        return answers.if_updated(made, updates, 0), answers.if_updated(made, new, before)

    def rate_at(state: Any, evaluation: Any) -> Any:
        rates = base.learning_rates_at(inner_state(state), evaluation)
        return rates if is_number(state) else scale_rates(rates, jnp.sum(state.s))

    return WithRate(init, update, rate_at, exact=False)  # the scale is learned


def _learn(state: MechanicState, h: jax.Array, eps: Any, s_init: Any) -> tuple[jax.Array, ...]:
    """One update of the scales: wealth over the root of the squares, for each decay rate."""
    number = state.s.size
    betas = 1 - 0.1 ** jnp.arange(1, number + 1, dtype=state.s.dtype)
    clipped = jnp.clip(h, -state.m, state.m)
    m = jnp.maximum(betas * state.m, jnp.abs(h) + eps)
    v = jnp.hypot(betas * state.v, h)
    r = betas * state.r + clipped * state.s
    return m, v, r, (s_init / number * m + jnp.maximum(0, r)) / (v + eps)
