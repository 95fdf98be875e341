"""A run: periods of training and evaluation under a stopping rule, as one compiled while-loop."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.loop.epoch import Epoch
from gdjax.loop.evaluate import Evaluate
from gdjax.loop.step import evaluation_params, learning_rate
from gdjax.nodes import Rule
from gdjax.programs import compiled
from gdjax.types import Evaluation, Metrics, Observation, RunState, Stop, TrainState


def make_run(epoch: Epoch, evaluate: Evaluate | None = None, monitor: str = "loss", mode: str = "min") -> Run:
    """The transition of a whole run.

    Args:
        epoch: what `make_epoch` returns: the period between two evaluations.
        evaluate: what `make_evaluate` returns; None monitors the training metrics.
        monitor: the metric that decides which parameters are best, and that rules watch.
        mode: "min" or "max", its better direction.

    Returns: run(run_state, data, validation, until, seconds=0.) -> run_state, equal by value, which trains until the rule in
        run_state stops it or `until` evaluations are done (a traced int32: segments of any length are one program and
        give the same bits). `start_run` makes the first run_state. Jit it, vmap it, or let `fit` drive it.
    """
    if mode not in ("min", "max"):
        raise ValueError(f"make_run: mode must be 'min' or 'max', got {mode!r}")
    return Run(Period(epoch, evaluate), monitor, mode)


@dataclasses.dataclass(frozen=True)
class Period:
    """Training up to an evaluation, and the evaluation: (state, data, validation) -> (state, history row)."""

    epoch: Epoch
    evaluate: Evaluate | None

    def __call__(self, state: TrainState, data: Any, validation: Any) -> tuple[TrainState, Metrics]:
        state, metrics = self.epoch(state, data)
        row = {name: value for name, value in metrics.items() if name != "weight"}
        if self.evaluate is not None and validation is not None:
            scores = self.evaluate(evaluation_params(state), validation, state.model_state)
            row |= {f"validation_{name}": value for name, value in scores.items() if name != "weight"}
        rate = learning_rate(state)
        row |= {} if rate is None else {"learning_rate": rate}
        passes = state.batches / self.epoch.batches_per_epoch(data)
        return state, {**row, "step": state.step, "epoch": passes.astype(jnp.result_type(float))}


@dataclasses.dataclass(frozen=True)
class Run:
    """What `make_run` returns."""

    period: Period
    monitor: str
    mode: str

    def __call__(self, run_state: RunState, data: Any, validation: Any, until: Any, seconds: Any = 0.0) -> RunState:
        def running(run_state: RunState) -> jax.Array:
            return (run_state.stop == Stop.RUNNING) & (run_state.evaluations < until)

        def advance(run_state: RunState) -> RunState:
            state, row = compiled(self.period)(run_state.state, data, validation)
            return self._judge(run_state, state, row, seconds)

        return jax.lax.while_loop(running, advance, run_state)

    def monitored(self, row: Metrics) -> str:
        """The name in a history row of what decides: on validation data if there are any."""
        name = f"validation_{self.monitor}" if f"validation_{self.monitor}" in row else self.monitor
        if name not in row or jnp.ndim(row[name]) != 0:
            known = sorted(key for key, value in row.items() if jnp.ndim(value) == 0)
            raise ValueError(f"make_run: monitor must be a scalar metric, one of {known}, got {self.monitor!r}")
        return name

    def _judge(self, last: RunState, state: TrainState, row: Metrics, seconds: Any) -> RunState:
        """Take in one period: history, best so far, the rule's verdict."""
        sign = 1.0 if self.mode == "min" else -1.0
        value = (sign * row[self.monitored(row)]).astype(last.best_value.dtype)
        state = state._replace(evaluation=Evaluation(value, state.evaluation.count + 1))
        improved = value < last.best_value
        seen = Observation(
            value=value,
            sign=sign,
            loss=row["loss"],
            change=row.get("change", jnp.nan * row["loss"]),
            step=state.step,
            epoch=row["epoch"],
            seconds=jnp.asarray(seconds),
        )
        rule_state, stop = last.rule.update(last.rule_state, seen)
        current = evaluation_params(state), state.model_state
        return last._replace(
            state=state,
            best=jax.lax.cond(improved, lambda: current, lambda: last.best),  # one copy, where `where` makes two
            best_value=jnp.where(improved, value, last.best_value),
            best_evaluation=jnp.where(improved, last.evaluations, last.best_evaluation),
            rule_state=rule_state,
            evaluations=last.evaluations + 1,
            history={name: last.history[name].at[last.evaluations].set(row[name]) for name in row},
            stop=stop,
        )


def start_run(run: Run, state: TrainState, rule: Rule, data: Any, validation: Any, capacity: int) -> RunState:
    """The RunState before the first period, every leaf in a buffer of its own.

    Args:
        rule: a stopping rule of `gdjax.stopping`; its numbers become arrays, so that another patience compiles nothing.
        capacity: evaluations that the history has room for; `extend_history` gives more.
    """
    rule = rule.settle()
    _, row = compiled(run.period).eval_shape(state, data, validation)
    run.monitored(row)  # an unknown monitor speaks now
    none_yet = np.zeros((), np.int32)
    return RunState(
        state=state,
        best=tree.distinct_copy((evaluation_params(state), state.model_state)),
        best_value=jnp.array(np.inf, dtype=float),
        best_evaluation=jnp.array(none_yet - 1),
        rule=rule,
        rule_state=tree.distinct_copy(rule.init()),
        evaluations=jnp.array(none_yet),
        history={name: jnp.zeros((capacity, *x.shape), x.dtype) for name, x in row.items()},
        stop=jnp.array(none_yet),
    )


def extend_history(run_state: RunState, capacity: int) -> RunState:
    """The same run with room for `capacity` evaluations; on the host, between segments."""

    def extend(x: jax.Array) -> jax.Array:
        more = max(capacity - x.shape[0], 0)
        return jnp.pad(x, [(0, more)] + [(0, 0)] * (x.ndim - 1))

    return run_state._replace(history={name: extend(x) for name, x in run_state.history.items()})
