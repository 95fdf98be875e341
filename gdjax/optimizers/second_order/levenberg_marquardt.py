"""The Levenberg-Marquardt method: the Gauss-Newton step with adaptive damping."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import refuse_integers
from gdjax.optimizers.own_gradient import of_own_gradient
from gdjax.optimizers.second_order.least_squares import Model, adapt, check, has_lost_parameters, is_nothing, linearize
from gdjax.types import ArrayLike
from gdjax.vector import dot, flat_dtype, ravel, unravel


class LevenbergMarquardtState(NamedTuple):
    """With n the number of real parameters."""

    count: jax.Array
    scale: jax.Array  # (n,) the largest norm of each column of J so far
    damping: jax.Array  # () float
    growth: jax.Array  # () float, factor of the damping after a rejected step
    value: jax.Array  # () float, 1/2 sum residuals² after the last update
    converged: jax.Array  # () bool: where the last update began, a whole step changed nothing


@optimizer(static=("residuals",), bounds={"initial_damping": "(0, inf)"}, constant=("initial_damping",))
def levenberg_marquardt(residuals, initial_damping: ArrayLike = 1e-3):
    """Levenberg-Marquardt: Gauss-Newton held back where its model has failed; least 1/2 sum residuals².

        D <- max(D, |columns of J|)
        d least in |J d + r|² + damping |D d|²,    gain = (actual decrease) / (that of the model)
        u = d if gain > 0, else 0
        damping <- damping max(1/3, 1 - (2 gain - 1)³),  growth <- 2                     gain > 0
        damping <- damping growth,  growth <- 2 growth                                   else

    An update whose step is refused moves nothing; the next tries a shorter one. The gradients that it is given are ignored,
    and so is `value_fn`. The steps do not depend on the units of the parameters, nor does what its state calls `converged`:
    the undamped step d is nothing beside the parameters, |D d| <= sqrt(eps) |D p|, or what the step promised and what it
    gave are rounding of the sum, at most 4 eps of it. `minimize` stops there unless it is given another condition. A point
    where a parameter has lost all influence on the residuals, such as a rate in exp(-rate t) that has run to infinity,
    is never called so: there a run stands still, or goes on.

    Args:
        residuals: params -> array or tree of arrays; a function of the module level compares by identity.
        initial_damping: > 0, dimensionless: 1e-6 from a good guess, 1 from a bad one.

    Memory: n (k + n x params while it steps, k residuals of n parameters).   Raises: ValueError if initial_damping <= 0.
    Reference: Marquardt 1963; More 1978 (D; Springer LNM 630); Madsen, Nielsen & Tingleff 2004, Algorithm 3.16 (IMM,
        Technical University of Denmark).

    >>> opt, x = gd.levenberg_marquardt(lambda x: 2.0 * x - jnp.array([2.0, 8.0])), jnp.zeros(2)
    >>> print(opt.update(x, opt.init(x), x)[0])
    [0.999 3.996]
    """

    def init(params):
        refuse_integers("levenberg_marquardt", params)
        p = ravel(params, flat_dtype(params))
        damping, growth, value = (jnp.full((), x, p.dtype) for x in (initial_damping, 2, jnp.inf))
        return LevenbergMarquardtState(
            jnp.zeros((), jnp.int32), jnp.zeros_like(p), damping, growth, value, jnp.zeros((), bool)
        )

    def update(grads, state, params=None, **extra_args):
        del extra_args
        dtype = check("levenberg_marquardt", grads, params)
        if not jax.tree.leaves(params):
            return grads, state._replace(count=tree.increment(state.count))
        r, jacobian, function = linearize(residuals, params, dtype)
        longest = jnp.maximum(state.scale, jnp.linalg.norm(jacobian, axis=0))
        scale = jnp.where(longest > 0, longest, 1)
        model = Model.of(jacobian, r, scale)
        step = unravel(model.step(state.damping) / scale, params)
        z, p = scale * ravel(step, dtype), ravel(params, dtype)
        value, g, limits = 0.5 * dot(r, r), dot(r, jacobian) / scale, jnp.finfo(dtype)
        new = function(ravel(jax.tree.map(lambda p, u: p + u, params, step), dtype))
        # The difference of squares, not of the sums: near the minimum the sums agree to the last digit.
        decrease, promised = 0.5 * dot(r - new, r + new), 0.5 * dot(z, state.damping * z - g)
        lost = (promised <= 4 * limits.eps * value) & (jnp.abs(decrease) <= 4 * limits.eps * value)
        good, damping, growth = adapt(state.damping, state.growth, decrease, promised)
        new_state = LevenbergMarquardtState(
            count=tree.increment(state.count),
            scale=longest,
            damping=damping,
            growth=growth,
            value=jnp.where(good, value - decrease, value).astype(dtype),
            converged=(is_nothing(model.whole_step(), scale * p) | lost)
            & ~has_lost_parameters(jacobian, r, p, longest),
        )
        return jax.tree.map(lambda u: jnp.where(good, u, 0).astype(u.dtype), step), new_state

    return init, of_own_gradient(update)
