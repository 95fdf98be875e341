"""Schedule-free learning: a weighted average of the iterates in place of a decreasing learning rate."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import answers, tree
from gdjax.calls import WithRate, as_optimizer, inner_state, optimizer, rate_of
from gdjax.types import ArrayLike, DTypeLike, ScalarOrSchedule, Transformation


class ScheduleFreeState(NamedTuple):
    """The parameters trained are y = b1 x + (1 - b1) z; x, the average, is what to evaluate."""

    b1: jax.Array
    weight_sum: jax.Array  # () float, of all averaging weights
    step_count: jax.Array  # () int32, updates so far
    max_lr: jax.Array  # () float, the largest rate so far
    base_optimizer_state: Any
    z: Any  # the iterates of the base optimizer

    def evaluation_params(self, params: Any) -> Any:
        """x = (y - (1 - b1) z) / b1, in the parameters' dtype."""

        def of_leaf(y, z):
            dtype = tree.arithmetic_dtype(y, z)
            return ((y.astype(dtype) - (1 - self.b1) * z.astype(dtype)) / self.b1).astype(y.dtype)

        return jax.tree.map(of_leaf, params, self.z)


def schedule_free_eval_params(state: ScheduleFreeState, params: Any) -> Any:
    """The parameters to evaluate; Optax's name for `state.evaluation_params(params)`.

    >>> opt, x, g = gd.schedule_free_sgd(0.1), jnp.zeros(2), jnp.array([1.0, -2.0])
    >>> updates, state = opt.update(g, opt.init(x), x)
    >>> print(gd.schedule_free_eval_params(state, x + updates))
    [-0.1 0.2]
    """
    return state.evaluation_params(params)


@optimizer(
    static=("state_dtype",),
    bounds={"learning_rate": "[0, inf)", "b1": "(0, 1]", "weight_lr_power": "[0, inf)"},
    constant=("b1", "weight_lr_power"),
)
def schedule_free(
    base_optimizer: Transformation,
    learning_rate: ScalarOrSchedule,
    b1: ArrayLike = 0.9,
    weight_lr_power: ArrayLike = 2.0,
    state_dtype: DTypeLike | None = None,
):
    """Schedule-free: the base optimizer's path is averaged as it goes, and gradients are taken near the average.

        z <- z + u_base(g),      weight = max_lr^weight_lr_power,    c = weight / (sum of weights so far)
        x <- (1 - c) x + c z,    y <- b1 x + (1 - b1) z                      max_lr: the largest learning rate so far
        so  u = c (z_before - y + b1 u_base) + (1 - b1) u_base               without x, and without cancellation

    A b1 that differs from that of the last update moves y first, so that x stays.

    The parameters trained are y, where the gradients are taken; evaluate x: `evaluation_params`, which a run does.

    Args:
        base_optimizer: an optimizer without momentum of its own.
        learning_rate: the rate that the base optimizer uses; number, array or schedule (a warm-up, then constant).
        b1: in (0, 1]; how near the average gradients are taken.
        weight_lr_power: >= 0; how little the warm-up counts in the average.
        state_dtype: dtype of z (default: that of the parameter).

    Memory: 1 x params + base.   Raises: ValueError outside these ranges.
    Differs from: Optax, which never reads schedule(0) for the weights.
    Reference: Defazio et al. 2024, Algorithm 1, arXiv:2405.15682.

    >>> opt, x, g = gd.schedule_free(gd.sgd(0.1), 0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.1 0.2]
    """
    base = as_optimizer(base_optimizer)

    def init(params):
        number = jnp.result_type(float)
        z = jax.tree.map(lambda p: jnp.array(p, dtype=_wide(p, state_dtype), copy=True), params)
        zero = jnp.zeros((), number)
        return ScheduleFreeState(jnp.asarray(b1, number), zero, jnp.zeros((), jnp.int32), zero, base.init(params), z)

    def update(grads, state, params=None, **extra_args):
        tree.need_params("schedule_free", params, "average them")
        tree.check_like("schedule_free", "grads", grads, "params", params)
        rate: Any = learning_rate(state.step_count) if callable(learning_rate) else learning_rate
        max_lr = jnp.maximum(state.max_lr, rate).astype(state.max_lr.dtype)
        weight = max_lr**weight_lr_power
        weight_sum = state.weight_sum + weight
        c = tree.ratio(weight, weight_sum)
        base_updates, base_state = base.update(grads, state.base_optimizer_state, params, **extra_args)

        def of_leaf(y, z, u):
            dtype = tree.arithmetic_dtype(y, z)
            before, u = z.astype(dtype), u.astype(dtype)
            # To the point of the present b1; 0 as a rule.
            shift = (b1 - state.b1) / state.b1 * (y.astype(dtype) - before)
            change = shift + c * (before - y.astype(dtype) - shift + b1 * u) + (1 - b1) * u
            return change.astype(y.dtype), (before + u).astype(z.dtype)

        done = tree.leafmap(of_leaf, params, state.z, base_updates)
        structure, before = jax.tree.structure(params), state._replace(base_optimizer_state=base_state)
        new = before._replace(
            b1=jnp.asarray(b1, state.b1.dtype),
            weight_sum=weight_sum.astype(state.weight_sum.dtype),
            step_count=tree.increment(state.step_count),
            max_lr=max_lr,
            z=structure.unflatten([z for _, z in done]),
        )
        updates, made = structure.unflatten([u for u, _ in done]), answers.updated(base_state)
        return answers.if_updated(made, updates, 0), answers.if_updated(made, new, before)

    def rate_at(state: Any, evaluation: Any) -> Any:
        """The rate of the base optimizer; if it has none, the argument `learning_rate`."""
        rate = base.learning_rates_at(inner_state(state), evaluation)
        return rate_of(learning_rate, state) if rate is None else rate

    return WithRate(init, update, rate_at)


def _wide(p: jax.Array, dtype: Any) -> Any:
    """The dtype of a copy of p: the given one, made complex if p is."""
    if dtype is None:
        return p.dtype
    return jnp.result_type(p.dtype, dtype) if jnp.iscomplexobj(p) else dtype
