"""Sharpness-aware minimization that also reduces the difference of the two losses."""

from __future__ import annotations

import jax

from gdjax import tree
from gdjax.calls import as_optimizer, optimizer
from gdjax.optimizers.own_gradient import check_own_gradient, of_own_gradient
from gdjax.optimizers.wrappers.uphill import across_from, gradient_at, uphill
from gdjax.types import ArrayLike, Transformation


@optimizer(bounds={"rho": "[0, inf)", "alpha": "[0, inf)"}, constant=("rho", "alpha"))
def gsam(inner: Transformation, rho: ArrayLike = 0.05, alpha: ArrayLike = 0.4):
    """GSAM: SAM that also lowers the surrogate gap, the loss uphill less the loss here.

        h = grad of the loss at p + rho g / |g|
        g <- h - alpha (g - h <g, h> / |h|²)                        over all leaves together

    Args:
        inner: the optimizer to feed.
        rho: >= 0, parameter units; how far uphill.
        alpha: >= 0; weight of the gap, 0 gives `sam`.

    Memory: 0 + inner, and one gradient more a step.   Raises: ValueError if update is called without `value_fn=`.
    Differs from: the paper in that rho does not follow the learning rate.
    Reference: Zhuang et al. 2022, Algorithm 1, arXiv:2203.08065.

    >>> f, opt, x = lambda x: x[0] ** 2 + 2 * x[1] ** 2, gd.gsam(gd.sgd(0.1), rho=0.5), jnp.array([3.0, 4.0])
    >>> print(opt.update(jax.grad(f)(x), opt.init(x), x, value_fn=f)[0])
    [-0.62395 -1.7912]
    """
    inner = as_optimizer(inner)
    check_own_gradient("gsam", inner, "that uphill")

    def update(grads, state, params=None, **extra_args):
        above = gradient_at("gsam", params, **extra_args)(uphill(params, grads, rho))
        fed = jax.tree.map(lambda h, across: h - alpha * across, above, across_from(grads, above))
        return inner.update(tree.cast_like(fed, grads), state, params, **extra_args)

    return inner.init, of_own_gradient(update)
