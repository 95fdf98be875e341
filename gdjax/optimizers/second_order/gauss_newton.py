"""The Gauss-Newton method for sums of squares, which linearizes the residuals."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import refuse_integers
from gdjax.optimizers.linesearch.backtracking import backtracking
from gdjax.optimizers.linesearch.searcher import objective, searcher, with_rate
from gdjax.optimizers.own_gradient import of_own_gradient
from gdjax.optimizers.second_order.lbfgs import lbfgs
from gdjax.optimizers.second_order.least_squares import check, is_nothing, linearize
from gdjax.optimizers.second_order.secant import rate_at
from gdjax.types import ScalarOrSchedule
from gdjax.vector import dot, flat_dtype, ravel, unravel

LONG, SHORT = 1 / 2, 1 / 32  # parts of a step
LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e10


class GaussNewtonState(NamedTuple):
    count: jax.Array
    search: Any  # along 1/2 sum residuals², whose value is not that of the loss
    damping: jax.Array  # () float, dimensionless; 0 unless searched steps have been short
    converged: jax.Array  # () bool: where the last update began, a whole step changed nothing


@optimizer(static=("residuals",), bounds={"learning_rate": "[0, inf)"}, like=lbfgs)
def gauss_newton(
    residuals,
    learning_rate: ScalarOrSchedule | None = None,
    linesearch: Any = backtracking(decrease_factor=0.5),  # noqa: B008
):
    """Gauss-Newton: least squares with the residuals made linear; least 1/2 sum residuals².

        u = -learning_rate t J^+ r                            J the Jacobian of the residuals r, t from the line search

    J^+ is the pseudo-inverse, by singular values: where J has not full rank, the shortest of the steps. The gradients
    that it is given are ignored, and so is `value_fn`. Its state says `converged` as that of `levenberg_marquardt` does.
    Where J loses rank, searched steps can shrink to nothing far from a minimum (Powell 1970). Therefore a length below
    1/32 of the step multiplies a damping of the next step, that of `levenberg_marquardt`, by 10 (from 1e-3), and a length
    of at least 1/2 divides it by 10 (to 0 below 1e-3). Without a search there is none.

    Args:
        residuals: params -> array or tree of arrays; a function of the module level compares by identity.
        learning_rate: what the search starts from (the step itself if linesearch is None); number or schedule (default: 1).
        linesearch: as in `lbfgs`, along 1/2 sum residuals².

    Memory: 0 (k x params while it steps, k the number of residuals).
    Reference: Nocedal & Wright 2006, section 10.3.

    >>> opt, x = gd.gauss_newton(lambda x: 2.0 * x - jnp.array([2.0, 8.0]), linesearch=None), jnp.zeros(2)
    >>> print(opt.update(x, opt.init(x), x)[0])
    [1. 4.]
    """
    init_search, search = searcher(linesearch)

    def init(params):
        refuse_integers("gauss_newton", params)
        undamped = jnp.zeros((), flat_dtype(params))
        return GaussNewtonState(jnp.zeros((), jnp.int32), init_search(params), undamped, jnp.zeros((), bool))

    def update(grads, state, params=None, **extra_args):
        del extra_args
        dtype = check("gauss_newton", grads, params)
        if not jax.tree.leaves(params):
            return grads, state._replace(count=tree.increment(state.count))
        r, jacobian, function = linearize(residuals, params, dtype)
        scale, p = jnp.linalg.norm(jacobian, axis=0), ravel(params, dtype)
        direction = _damped_step(jacobian, r, jnp.sqrt(state.damping) * scale)
        rate = jnp.asarray(rate_at(learning_rate, state.count), dtype)
        value, grad = 0.5 * dot(r, r), _as_jax_gradient(dot(r, jacobian), params)
        value_fn = lambda params: 0.5 * jnp.sum(function(ravel(params, dtype)) ** 2)  # noqa: E731
        given = objective("gauss_newton", params, linesearch is not None, value=value, grad=grad, value_fn=value_fn)
        updates, found = search(unravel(rate * direction, params), state.search, params, **given)
        damping = state.damping
        if linesearch is not None:
            damping = _adapt(damping, dot(ravel(updates, dtype), direction) / (rate * dot(direction, direction)))
        change = dot(jacobian, direction)
        promised = -dot(change, r + 0.5 * change)
        whole = (state.damping == 0) & is_nothing(scale * direction, scale * p)
        converged = whole | (promised <= jnp.finfo(dtype).eps * value)
        return updates, GaussNewtonState(tree.increment(state.count), found, damping, converged)

    return with_rate(init, of_own_gradient(update), learning_rate, linesearch)


def _damped_step(jacobian: jax.Array, r: jax.Array, damping: jax.Array) -> jax.Array:
    """The shortest d of least |J d + r|² + |damping d|²."""
    rows = jnp.concatenate([jacobian, jnp.diag(damping)])
    return -jnp.linalg.lstsq(rows, jnp.concatenate([r, jnp.zeros_like(damping)]))[0]


def _adapt(damping: jax.Array, length: jax.Array) -> jax.Array:
    """The damping after a search that took this part of the step."""
    less = jnp.where(damping > LEAST_DAMPING, damping / 10, 0)
    more = jnp.clip(10 * damping, LEAST_DAMPING, MOST_DAMPING)
    return jnp.where(length >= LONG, less, jnp.where(length < SHORT, more, damping)).astype(damping.dtype)


def _as_jax_gradient(vector: jax.Array, params: Any) -> Any:
    """The direction of ascent as a tree, as jax.grad would give it: its conjugate."""
    return jax.tree.map(jnp.conj, unravel(vector, params))
