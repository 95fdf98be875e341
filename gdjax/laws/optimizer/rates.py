"""Laws about the learning rate, for optimizers whose learning rate can be set."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdjax import answers
from gdjax.calls.node import Node
from gdjax.laws.check import Case, Laws, Needs
from gdjax.laws.optimizer.trial import REFUSED, TRACES, Trial, gradients
from gdjax.tree import ascent
from gdjax.types import Evaluation

LAWS = Laws()
_RATE = 0.01
_STEPS = 300
_CURVATURE = np.array([1.0, 3.0, 10.0])


def _needs_rate(trial: Trial) -> None:
    if trial.with_rate is None:
        raise Needs("with_rate, a function of the learning rate that gives the optimizer")


@LAWS.law("linear", "Updates are linear in the learning rate: three times the rate, three times the update.")
def _linear(trial: Trial) -> None:
    _needs_rate(trial)

    def second_update(rate: float) -> Any:
        optimizer = trial.at_rate(rate)
        grads = gradients(trial.params)
        _, state = trial.compiled_update(grads, optimizer.init(trial.params), trial.params, 0, 1.0, optimizer)
        return trial.compiled_update(grads, state, trial.params, 1, 1.0, optimizer)[0]

    once, thrice = second_update(_RATE), second_update(3 * _RATE)
    assert any(np.any(np.asarray(u) != 0) for u in jax.tree.leaves(once)), "the second update is 0"
    chex.assert_trees_all_close(thrice, jax.tree.map(lambda u: 3 * u, once), rtol=1e-4)


@LAWS.law("schedule", "A schedule is read at the number of updates made before: the first at 0, the second at 1.")
def _schedule(trial: Trial) -> None:
    _needs_rate(trial)

    def two_updates(rate: Any) -> Any:
        optimizer, params, found = trial.at_rate(rate), trial.params, []
        state = optimizer.init(params)
        for i in range(2):
            updates, state = trial.update(gradients(params, i), state, params, i, 1.0, optimizer)
            found.append(updates)
        return found

    constant, scheduled = two_updates(_RATE), two_updates(_ten_times_at_1)
    words = f"a rate of {_RATE} at 0, {10 * _RATE} at 1, NaN elsewhere"
    try:
        chex.assert_trees_all_close(scheduled[0], constant[0], rtol=1e-5)
    except AssertionError as error:
        raise Case(f"{words}: the first update is not that of a constant {_RATE}", error) from error
    second = [np.concatenate([np.ravel(u) for u in jax.tree.leaves(x[1])]) for x in (scheduled, constant)]
    if not np.isfinite(second[0]).all() or np.allclose(*second, rtol=1e-3, atol=0):
        raise Case(f"{words}: the second update", f"{second[0]}; that of a constant {_RATE} is {second[1]}")


def _ten_times_at_1(step: Any) -> Any:
    return jnp.where(step == 0, _RATE, jnp.where(step == 1, 10 * _RATE, jnp.nan))


@LAWS.law(
    "new numbers",
    "Numbers are data: another learning rate, or other value of a leaf, compiles nothing.",
)
def _new_numbers(trial: Trial) -> None:
    if isinstance(trial.optimizer, Node):
        other = jax.tree.map(lambda x: x * 0.99 if jnp.issubdtype(x.dtype, jnp.floating) else x, trial.optimizer)
        pair = [trial.optimizer, other]
    else:
        _needs_rate(trial)
        pair = [trial.at_rate(_RATE), trial.at_rate(0.99 * _RATE)]
    traces = []
    for optimizer in pair:
        params, state = trial.params, optimizer.init(trial.params)
        trial.step(params, state, gradients(params), 0, optimizer)
        traces.append(TRACES[0])
    assert traces[0] == traces[1], "the update is compiled once more"


@LAWS.law(
    "converges",
    f"With one of thirteen rates, 1e-4 to 100, a quadratic decreases to 1 % of its start in {_STEPS} steps.",
)
def _converges(trial: Trial) -> None:
    _needs_rate(trial)
    _reaches_the_bottom(trial, jnp.array([1.0, -1.0, 1.0]))


@LAWS.law("complex", "On complex parameters it does the same, or refuses them.")
def _complex(trial: Trial) -> None:
    _needs_rate(trial)
    start = jnp.array([1.0 + 0.5j, -1.0j, 0.5 - 1.0j])
    try:
        jax.eval_shape(lambda p: trial.update(p, trial.optimizer.init(p), p), start)
    except REFUSED:
        return
    _reaches_the_bottom(trial, start)


def _reaches_the_bottom(trial: Trial, start: jax.Array) -> None:
    def value_fn(params: Any, evaluation: Any = None, weight: Any = None) -> Any:
        return 0.5 * jnp.sum(_CURVATURE * jnp.abs(params) ** 2)

    def final_value(rate: Any) -> Any:
        optimizer = trial.at_rate(rate)
        update = optax.with_extra_args_support(optimizer).update

        def body(carry: Any, _: Any) -> Any:
            params, state = carry
            grads = (_CURVATURE * params).astype(params.dtype)
            given = jnp.stack([grads, grads]) if trial.per_example else grads
            extra = {"value": value_fn(params), "grad": ascent(grads), "value_fn": value_fn, "evaluation": _EVALUATION}
            updates, state = update(given, state, params, **extra)
            return (optax.apply_updates(params, updates), state), None

        (params, state), _ = jax.lax.scan(body, (start, optimizer.init(start)), length=_STEPS)
        return value_fn(answers.evaluation_params(state, params))

    values = np.asarray(jax.jit(jax.vmap(final_value))(10.0 ** jnp.linspace(-4, 2, 13)))
    best, first = float(np.nanmin(values)), float(value_fn(start))
    if not best < 0.01 * first:
        raise Case(f"half the sum of {_CURVATURE} |x|^2 from x = {start}", f"{first:.3g} becomes {best:.3g} at best")


_EVALUATION = Evaluation(np.float32(1.0), np.int32(0))  # type: ignore[arg-type]
