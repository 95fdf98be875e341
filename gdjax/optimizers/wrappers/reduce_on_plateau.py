"""Learning-rate reduction on a plateau of the monitored value, inside the compiled run."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
from optax import contrib

from gdjax import tree
from gdjax.calls import WithRate, as_optimizer, inner_state, is_number, optimizer, scale_rates
from gdjax.optimizers.wrappers.chain import Scaling
from gdjax.optimizers.wrappers.two_forms import print_as, two_forms
from gdjax.types import ArrayLike, Transformation


class PlateauState(NamedTuple):
    rate_scale: jax.Array  # () float, what the inner updates are multiplied by
    best: jax.Array  # () float, least value so far
    plateau_count: jax.Array  # () int32, evaluations since it improved
    cooldown_count: jax.Array  # () int32, evaluations still to be ignored
    evaluations: jax.Array  # () int32, evaluations taken in
    inner: Any


_BOUNDS = {
    "factor": "(0, 1)",
    "patience": "[1, inf)",
    "rtol": "[0, inf)",
    "atol": "[0, inf)",
    "cooldown": "[0, inf)",
    "min_scale": "[0, 1]",
}


@optimizer(
    bounds={**_BOUNDS, "accumulation_size": "[1, inf)"},
    ints=("patience", "cooldown", "accumulation_size"),
    constant=("factor", "patience", "rtol", "atol", "cooldown", "accumulation_size", "min_scale"),
)
@print_as("reduce_on_plateau")
def _scale_on_plateau(
    factor: ArrayLike = 0.1,
    patience: int = 10,
    rtol: ArrayLike = 1e-4,
    atol: ArrayLike = 0.0,
    cooldown: int = 0,
    accumulation_size: int = 1,
    min_scale: ArrayLike = 0.0,
):
    """Optax's transform of the name: updates are scaled by what the mean of every `accumulation_size` values says."""

    def init(params):
        dtypes = [jnp.finfo(jnp.result_type(p)).dtype for p in jax.tree.leaves(params)] or [jnp.result_type(float)]
        zero, number = jnp.zeros((), jnp.int32), jnp.result_type(*dtypes)
        lowest = min(dtypes, key=lambda dtype: jnp.finfo(dtype).bits)
        return contrib.ReduceLROnPlateauState(
            jnp.ones((), lowest), jnp.full((), jnp.inf, number), zero, zero, zero, jnp.zeros((), number)
        )

    def observe(state):
        best = state.best_value
        improved = state.avg_value < jnp.where(best < 0, 1 + rtol, 1 - rtol) * best - atol
        count = jnp.where(improved, 0, tree.increment(state.plateau_count))
        waiting, full = state.cooldown_count > 0, count == patience
        lower = jnp.maximum(jnp.where(full, factor * state.scale, state.scale), min_scale)
        return state._replace(
            scale=jnp.where(waiting, state.scale, lower),
            best_value=jnp.where(improved, state.avg_value, best),
            plateau_count=jnp.where(waiting | full, 0, count),
            cooldown_count=jnp.where(waiting, state.cooldown_count - 1, jnp.where(full, cooldown, 0)),
            count=jnp.zeros_like(state.count),
            avg_value=jnp.zeros_like(state.avg_value),
        )

    def update(grads, state, params=None, *, value=None, **extra_args):
        if value is None:
            raise ValueError("reduce_on_plateau: update needs value=, that of the loss, as a step passes it")
        count = tree.increment(state.count)
        mean = (state.count * state.avg_value + jnp.asarray(value, state.avg_value.dtype)) / count
        summed = tree.cast_like(state._replace(count=count, avg_value=mean), state)
        new = tree.cast_like(tree.select(count == accumulation_size, observe(summed), summed), state)
        return jax.tree.map(lambda g: (new.scale * g).astype(g.dtype), grads), new

    return Scaling(init, update, lambda state: 1.0 if is_number(state) else state.scale)


@optimizer(
    bounds=_BOUNDS,
    ints=("patience", "cooldown"),
    constant=("factor", "patience", "rtol", "atol", "cooldown", "min_scale"),
)
@print_as("reduce_on_plateau")
def _drop_on_plateau(
    inner: Transformation,
    factor: ArrayLike = 0.1,
    patience: int = 10,
    rtol: ArrayLike = 1e-4,
    atol: ArrayLike = 0.0,
    cooldown: int = 0,
    min_scale: ArrayLike = 0.0,
):
    """Drop on plateau: after `patience` evaluations without improvement, multiply the rate by `factor`.

        improved  <=>  value < best - max(rtol |best|, atol)
        rate_scale <- max(factor rate_scale, min_scale)          when plateau_count reaches patience

    It reads `TrainState.evaluation`, which a run writes after each evaluation, so the rate falls inside the compiled run.

    Without an optimizer, `reduce_on_plateau(factor, ..., accumulation_size=1, min_scale)` is Optax's transform, which goes
    by `value=`, the loss of each step, and stands behind an optimizer in a chain. There a plateau is `patience` means of
    `accumulation_size` values each without improvement.

    Args:
        inner: the optimizer whose updates are scaled, decoupled decay included.
        factor: in (0, 1).
        patience: evaluations, at least 1.
        rtol, atol: >= 0; the improvement that counts, relative to |best| and in units of the value.
        cooldown: evaluations after a drop during which nothing is counted.
        accumulation_size: at least 1, of Optax's transform alone; values whose mean is taken.
        min_scale: in [0, 1]; the scale never falls below it.

    Memory: 0 + inner.   Raises: ValueError outside these ranges, or if update is called without `evaluation=`.
    Differs from: Optax's contrib.reduce_on_plateau, which takes every step's value, never drops on a constant negative
        value (its relative tolerance turns sign; not that of the transform here) and counts NaN as a plateau; here NaN
        counts as nothing. Torch drops after one evaluation more, patience + 1.
    Reference: torch.optim.lr_scheduler.ReduceLROnPlateau (the usual practice; no paper).

    >>> opt, x, g = gd.reduce_on_plateau(gd.sgd(0.1), factor=0.5, patience=1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> updates, state = opt.update(g, opt.init(x), x, evaluation=(jnp.float32(3.0), jnp.int32(1)))
    >>> print(opt.update(g, state, x, evaluation=(jnp.float32(4.0), jnp.int32(2)))[0])
    [-0.05 0.1]
    """
    inner = as_optimizer(inner)

    def init(params):
        number, count = jnp.result_type(float), jnp.zeros((), jnp.int32)
        return PlateauState(
            jnp.ones((), number), jnp.full((), jnp.inf, number), count, count, count, inner.init(params)
        )

    def observe(state, value):
        value = value.astype(state.best.dtype)
        margin = jnp.maximum(rtol * jnp.abs(jnp.where(jnp.isfinite(state.best), state.best, 0)), atol)
        improved = value < state.best - margin
        waiting = state.cooldown_count > 0
        idle = improved | waiting | jnp.isnan(value)
        count = jnp.where(
            idle, jnp.where(jnp.isnan(value) & ~improved, state.plateau_count, 0), tree.increment(state.plateau_count)
        )
        drop = count >= patience
        return state._replace(
            rate_scale=jnp.where(drop, jnp.maximum(factor * state.rate_scale, min_scale), state.rate_scale),
            best=jnp.where(improved, value, state.best),
            plateau_count=jnp.where(drop, 0, count),
            cooldown_count=jnp.where(drop, cooldown, jnp.maximum(state.cooldown_count - 1, 0)),
        )

    def after(state, evaluation):
        value, count = evaluation
        return tree.select(count > state.evaluations, observe(state, jnp.asarray(value)), state)

    def update(grads, state, params=None, *, evaluation=None, **extra_args):
        if evaluation is None:
            raise ValueError("reduce_on_plateau: update needs evaluation=(value, count), as a run passes it")
        observed = after(state, evaluation)
        updates, inner_state = inner.update(grads, state.inner, params, evaluation=evaluation, **extra_args)
        updates = jax.tree.map(lambda u: (u * observed.rate_scale).astype(u.dtype), updates)
        count = jnp.asarray(evaluation[1], jnp.int32)
        return updates, tree.cast_like(
            observed._replace(evaluations=count, inner=inner_state), state._replace(inner=inner_state)
        )

    def rate_at(state: Any, evaluation: Any) -> Any:
        rates = inner.learning_rates_at(inner_state(state), evaluation)
        if is_number(state):
            return rates
        own = state._replace(inner=None)
        scale = (own if evaluation is None else after(own, evaluation)).rate_scale
        return scale_rates(rates, scale)

    return WithRate(init, update, rate_at)


reduce_on_plateau: Final = two_forms(_drop_on_plateau, _scale_on_plateau)
