"""Stopping conditions: pairs (init, update) that read an `Observation` after each evaluation and answer with a `Stop`.

A condition is a call node, so its numbers are leaves: a run that waits longer compiles nothing. Conditions compose by
`any_of`; the first in its order that speaks gives the reason.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import Condition, condition
from gdjax.types import Observation, Stop


def _code(condition, stop: Stop):
    return jnp.where(condition, jnp.int32(stop), jnp.int32(Stop.RUNNING))


def _stateless(stop: Stop, condition: Callable[[Observation], object]):
    return (lambda: ()), (lambda state, observation: (state, _code(condition(observation), stop)))


@condition
def never():
    """The condition that never stops a run; bounds on epochs or steps still do.

    >>> found = gd.minimize(lambda x: x**2, 1.0, gd.sgd(0.1), stop=gd.stopping.never(), max_steps=10)
    >>> print(found.stop.name, found.steps)
    BUDGET 10
    """
    return _stateless(Stop.RUNNING, lambda observation: False)


@condition(bounds={"evaluations": "[1, inf)", "min_delta": "[0, inf)"}, ints=("evaluations",))
def patience(evaluations: int, min_delta=0.0):
    """PATIENCE after so many evaluations in a row without improvement.

        improved  <=>  value < best - min_delta

    Args:
        evaluations: at least 1.
        min_delta: >= 0, units of the monitored value; the smallest change that counts.

    A NaN value is no improvement.
    Reference: Prechelt 1998, "Early stopping - but when?", the criterion UP.

    >>> found = gd.minimize(lambda x: x**2, 1.0, gd.sgd(0.0), stop=gd.stopping.patience(3))
    >>> print(found.stop.name, found.steps)
    PATIENCE 3
    """

    def init():
        return jnp.array(jnp.inf, dtype=float), jnp.int32(0)

    def update(state, observation):
        best, waited = state
        improved = observation.value < best - min_delta
        waited = jnp.where(improved, 0, tree.increment(waited))
        best = jnp.where(improved, observation.value, best).astype(best.dtype)
        return (best, waited.astype(jnp.int32)), _code(waited >= evaluations, Stop.PATIENCE)

    return init, update


@condition(static=("over",), bounds={"delta": "[0, inf)"})
def change(delta, over: str = "epoch"):
    """CONVERGED once the training loss changes by at most delta.

        over="epoch":  |mean loss since the last evaluation - the one before|  <= delta
        over="batch":  mean over the batches of |loss(batch, p after its step) - loss(batch, p before)|  <= delta

    The second is how the lectures stop stochastic descent: with an evaluation after every step it is the change over the
    current batch. It needs `make_step(..., batch_change=True)`, one more forward pass a step; `fit` sees to that.

    Args:
        delta: >= 0, units of the loss.
        over: "epoch" or "batch".

    Raises: ValueError for over="batch" in a run whose step does not measure it.

    >>> found = gd.minimize(lambda x: x**2, 1.0, gd.sgd(0.1), stop=gd.stopping.change(0.01))
    >>> print(found.stop.name, found.steps)
    CONVERGED 10
    """
    if over not in ("epoch", "batch"):
        raise ValueError(f"change: over must be 'epoch' or 'batch', got {over!r}")

    def init():
        return jnp.array(jnp.inf, dtype=float)

    def difference(last, observation):
        if over == "epoch":
            return jnp.abs(observation.loss - last)
        instead = "`fit` does; write make_step(..., batch_change=True), or over='epoch'"
        return _require("change", observation.change, instead, "the change over a batch")

    def update(last, observation):
        return observation.loss.astype(last.dtype), _code(difference(last, observation) <= delta, Stop.CONVERGED)

    update.needs = ("batch_change",) if over == "batch" else ()  # what a step must measure
    return init, update


@condition(bounds={"eps": "[0, inf)"})
def gradient_norm(eps=1e-5):
    """CONVERGED once the gradient at the parameters is small; on a set, the step that projected descent would take.

        |g| <= eps,          on a set:  |P(p - g) - p| <= eps

    Args:
        eps: >= 0, units of the value per unit of the parameters.

    Raises: ValueError in a run that does not measure it: `minimize` does, runs over batches do not.

    >>> found = gd.minimize(lambda x: x**2, 1.0, gd.sgd(0.1), stop=gd.stopping.gradient_norm(0.1))
    >>> print(found.stop.name, found.steps)
    CONVERGED 14
    """
    return _stateless(Stop.CONVERGED, lambda observation: _require("gradient_norm", observation.grad_norm) <= eps)


@condition(bounds={"eps": "[0, inf)"}, like=gradient_norm)
def converged(eps=1e-5):
    """CONVERGED once the optimizer says so, by its own tests; of one that has none, once the gradient is small.

    Least squares (`levenberg_marquardt`, `gauss_newton`) have tests that know no unit, where the size of a gradient says
    little: of residuals around 1e-6 it is small long before the parameters are right. This is what `minimize` does unless
    it is told otherwise.

    Args:
        eps: as in `gradient_norm`.

    Raises: ValueError as `gradient_norm` does, for an optimizer without tests of its own.

    >>> found = gd.minimize(lambda x: x**2, 1.0, gd.sgd(0.1), stop=gd.stopping.converged(0.1))
    >>> print(found.stop.name, found.steps)
    CONVERGED 14
    """

    def holds(observation: Observation):
        if observation.converged is not None:
            return observation.converged
        return _require("converged", observation.grad_norm) <= eps

    return _stateless(Stop.CONVERGED, holds)


@condition(bounds={"delta": "[0, inf)"})
def parameter_change(delta):
    """CONVERGED once a step moves the parameters, taken as one vector, by at most delta.

    Args:
        delta: >= 0, units of the parameters.

    Raises: ValueError in a run that does not measure it: `minimize` and `search` do, runs over batches do not.

    >>> found = gd.minimize(lambda x: x**2, 1.0, gd.sgd(0.1), stop=gd.stopping.parameter_change(0.01))
    >>> print(found.stop.name, found.steps)
    CONVERGED 15
    """
    return _stateless(Stop.CONVERGED, lambda observation: _require("parameter_change", observation.step_norm) <= delta)


IN_FIT = "`minimize` does; in fit write stop=gd.stopping.patience(10) or change(delta)"


def _require(who: str, x, instead: str = IN_FIT, what: str = "it"):
    if x is None:
        raise ValueError(f"{who}: this run does not measure {what}, {instead}")
    return x


@condition(bounds={"value": "(-inf, inf)"})
def target(value):
    """TARGET once the monitored value is at or beyond `value` (at or above it where more is better).

    Args:
        value: units of the monitored metric, in its own orientation.

    >>> found = gd.minimize(lambda x: x**2, 1.0, gd.sgd(0.1), stop=gd.stopping.target(0.5))
    >>> print(found.stop.name, found.steps)
    TARGET 2
    """
    return _stateless(Stop.TARGET, lambda observation: observation.value <= observation.sign * value)


@condition(bounds={"epochs": "(0, inf)", "steps": "(0, inf)", "seconds": "(0, inf)"}, ints=("steps",))
def budget(epochs=None, steps: int | None = None, seconds=None):
    """BUDGET once any of the given amounts is used up.

    Args:
        epochs: passes over the data; fractions count.
        steps: updates.
        seconds: wall clock since the run was started, compilation included; it is read between compiled segments, so a
            run ends with the first evaluation of the first segment that starts after the time.

    Raises: ValueError for seconds in a run that does not measure them: `fit` and `segments` do, `minimize` does not.

    >>> found = gd.minimize(lambda x: x**2, 1.0, gd.sgd(0.1), stop=gd.stopping.budget(steps=5))
    >>> print(found.stop.name, found.steps)
    BUDGET 5
    """

    def is_used_up(observation: Observation):
        instead = "`fit` and `segments` do; elsewhere write budget(steps=...)"
        clock: Any = None if seconds is None else _require("budget", observation.seconds, instead, "seconds")
        limits = ((observation.epoch, epochs), (observation.step, steps), (clock, seconds))
        reached = [used >= limit for used, limit in limits if limit is not None]
        return functools.reduce(jnp.logical_or, reached, False)

    return _stateless(Stop.BUDGET, is_used_up)


@condition(bounds={"factor": "(1, inf]"})
def divergence(factor=1e3):
    """DIVERGED once the training loss exceeds `factor` times that of the start (or factor, if that was below 1).

    The start is the loss at the parameters handed in: in a run over batches that of the first batch, before any step.

    Args:
        factor: > 1, dimensionless; inf leaves only infinite values.

    >>> found = gd.minimize(lambda x: x**2, 1.0, gd.sgd(1.5), stop=gd.stopping.divergence(10.0))
    >>> print(found.stop.name, found.steps)
    DIVERGED 2
    """

    def init():
        return jnp.array(jnp.nan, dtype=float)

    def update(first, observation):
        start = observation.loss if observation.first_loss is None else observation.first_loss
        first = jnp.where(jnp.isnan(first), jnp.abs(start), first).astype(first.dtype)
        beyond = (observation.loss > factor * jnp.maximum(first, 1)) | jnp.isposinf(observation.loss)
        return first, _code(beyond, Stop.DIVERGED)

    update.judges = (Stop.DIVERGED,)
    return init, update


@condition
def non_finite():
    """NON_FINITE once the training loss or the monitored value is NaN or infinite.

    A run over batches that is told its `steps`, as `fit` and `segments` do, ends with the first step whose loss is not
    finite, and is evaluated there.

    >>> found = gd.minimize(jnp.log, 1.0, gd.sgd(2.0), stop=gd.stopping.non_finite())
    >>> print(found.stop.name, found.steps)
    NON_FINITE 1
    """
    init, update = _stateless(
        Stop.NON_FINITE, lambda observation: ~(jnp.isfinite(observation.loss) & jnp.isfinite(observation.value))
    )
    update.each_step = (Stop.NON_FINITE,)  # a run need not reach its next evaluation to know
    return init, update


@condition
def any_of(*conditions: Condition):
    """The first of these conditions, in their order, that wants to stop.

    Args:
        conditions: conditions of this module, or of your own.

    >>> stop = gd.stopping.any_of(gd.stopping.target(0.5), gd.stopping.budget(steps=100))
    >>> found = gd.minimize(lambda x: x**2, 1.0, gd.sgd(0.1), stop=stop)
    >>> print(found.stop.name, found.steps)
    TARGET 2
    """

    def init():
        return tuple(each.init() for each in conditions)

    def update(states, observation):
        results = [each.update(state, observation) for each, state in zip(conditions, states, strict=True)]
        codes = jnp.stack([code for _, code in results] or [jnp.int32(0)])
        return tuple(state for state, _ in results), codes[jnp.argmax(codes != 0)]

    return init, update


def check_stop(who: str, stop: Any) -> None:
    """Raise TypeError for a stop that is neither a condition nor None.

    >>> gd.stopping.check_stop("my_function", gd.stopping.patience(10))
    """
    if stop is not None and not isinstance(stop, Condition):
        name = getattr(stop, "__name__", None)
        write = f"stop=gd.stopping.{name}(...)" if hasattr(stop, "recipe") else "stop=gd.stopping.patience(10)"
        raise TypeError(f"{who}: stop must be a condition of gdjax.stopping, write {write}, got {stop!r}")


CONDITIONS: dict[str, Callable[..., Condition]] = {
    factory.__name__: factory
    for factory in (
        never,
        patience,
        change,
        gradient_norm,
        converged,
        parameter_change,
        target,
        budget,
        divergence,
        non_finite,
        any_of,
    )
}
