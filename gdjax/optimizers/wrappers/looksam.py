"""Sharpness-aware minimization at every few steps; in between, its effect is added from memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import as_optimizer, optimizer
from gdjax.optimizers.own_gradient import check_own_gradient, of_own_gradient
from gdjax.optimizers.wrappers.uphill import across_from, gradient_at, uphill
from gdjax.types import ArrayLike, Transformation


class LookSamState(NamedTuple):
    count: jax.Array  # updates so far, () int32
    across: Any  # what of the last gradient uphill was orthogonal to the gradient, like the parameters
    inner: Any


@optimizer(
    bounds={"rho": "[0, inf)", "alpha": "[0, inf)", "period": "[1, inf)"},
    ints=("period",),
    constant=("rho", "alpha", "period"),
)
def looksam(inner: Transformation, rho: ArrayLike = 0.05, alpha: ArrayLike = 0.7, period: int = 5):
    """LookSAM: SAM at every `period`-th step, its effect remembered in between.

        every period steps:    h = grad of the loss at p + rho g / |g|,   v <- h - g <h, g> / |g|²,   g <- h
        else:                  g <- g + alpha |g| / |v| v                  over all leaves together

    Args:
        inner: the optimizer to feed.
        rho: >= 0, parameter units; how far uphill.
        alpha: >= 0; weight of the remembered direction.
        period: steps, at least 1; 1 gives `sam`. Under vmap the gradient uphill is computed at every step.

    Memory: 1 x params + inner, and one gradient more every period steps.
        Raises: ValueError if update is called without `value_fn=`.
    Reference: Liu et al. 2022, Algorithm 1, arXiv:2203.02714.

    >>> f, opt, x = lambda x: x[0] ** 2 + 2 * x[1] ** 2, gd.looksam(gd.sgd(0.1), rho=0.5), jnp.array([3.0, 4.0])
    >>> print(opt.update(jax.grad(f)(x), opt.init(x), x, value_fn=f)[0])
    [-0.63511 -1.7873]
    """
    inner = as_optimizer(inner)
    check_own_gradient("looksam", inner, "that uphill")

    def init(params):
        return LookSamState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        gradient = gradient_at("looksam", params, **extra_args)

        def look(grads, across):
            above = gradient(uphill(params, grads, rho))
            return tree.cast_like(above, grads), tree.cast_like(across_from(above, grads), across)

        def recall(grads, across):
            length = alpha * tree.global_norm(grads)
            fed = jax.tree.map(lambda g, v: g + length * v, grads, tree.direction(across))
            return tree.cast_like(fed, grads), across

        fed, across = jax.lax.cond(state.count % period == 0, look, recall, grads, state.across)
        updates, inner_state = inner.update(fed, state.inner, params, **extra_args)
        return updates, LookSamState(tree.increment(state.count, period=period), across, inner_state)

    return init, of_own_gradient(update)
