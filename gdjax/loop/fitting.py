"""The common case in one call: a run, driven in compiled segments from the host."""

from __future__ import annotations

import dataclasses
import html
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import stopping, tree
from gdjax.data import num_rows
from gdjax.loop.drive import Driver
from gdjax.loop.epoch import make_epoch
from gdjax.loop.evaluate import Evaluate, make_evaluate
from gdjax.loop.run import Run, make_run, start_run
from gdjax.loop.step import make_state, make_step
from gdjax.nodes import Rule
from gdjax.types import Params, RunState, Stop, TrainState


@dataclasses.dataclass(frozen=True)
class Result:
    """How a run ended, and what it found.

    `params` are those of the best evaluation, `last` the whole state at the end. `history` maps each metric to its value
    at every evaluation. `str(result)` says it in a sentence.
    """

    stop: Stop
    params: Params
    model_state: Any
    last: TrainState
    history: dict[str, np.ndarray]
    monitor: str
    best_value: float
    best_evaluation: int
    steps: int
    epochs: float
    seconds: float
    compile_seconds: float

    def __str__(self) -> str:
        took = f"{self.seconds:.2f} s and {self.compile_seconds:.2f} s of compiling"
        ended = f"{self.stop.name} after {self.epochs:g} epochs ({self.steps} steps, {took})"
        if self.best_evaluation < 0:
            return f"{ended}; no evaluation was finite, the parameters are the first"
        epoch = self.history["epoch"][self.best_evaluation]
        return f"{ended}; best {self.monitor} {self.best_value:.5g} at epoch {epoch:g}, whose parameters are kept"

    def _repr_html_(self) -> str:
        """As it prints, in a notebook."""
        return f"<pre>{html.escape(str(self))}</pre>"


def fit(
    loss_fn: Any,
    params: Params,
    optimizer: Any,
    data: Any,
    validation: Any = None,
    *,
    rule: Rule | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    every: int | None = None,
    batch_size: int | None = None,
    order: str = "shuffle",
    evaluate: Evaluate | None = None,
    monitor: str = "loss",
    mode: str = "min",
    model_state: Any = (),
    key: jax.Array | int = 0,
    progress: Callable[[RunState], None] | None = None,
    watch: Any = None,
) -> Result:
    """Train to a stop, keep the best parameters, say how it went.

    Args:
        loss_fn: (params, batch, key) -> (scalar, metrics), or what `per_example` or `stateful` return.
        params: any pytree.
        optimizer: ours or Optax's.
        data: a pytree of arrays that share their leading axis.
        validation: the same, to evaluate on; None monitors the training loss.
        rule: of `gdjax.stopping`; a run that is not finite, or diverges a thousandfold, stops whatever the rule.
        epochs, steps: at most one; the length of the run if the rule does not end it, 100 epochs if neither is given.
        every: steps between evaluations; None is one epoch.
        batch_size, order: as for `make_epoch`; None is 64, or all rows where there are fewer.
        evaluate: what `make_evaluate` returns; None evaluates the loss.
        monitor, mode: the metric that decides, and its better direction.
        model_state: what a `stateful` loss starts from.
        key: a JAX key or an int seed.
        progress: called with the RunState between compiled segments.
        watch: what `backprop.watch` returns, for the flow of the gradient in the history.

    A second call with other numbers (rate, decay, schedule values, patience, key) compiles nothing. Ctrl-C ends the run
    at the next segment with all it has found, as INTERRUPTED; a second one raises.
    """
    if epochs is not None and steps is not None:
        raise ValueError(f"fit: give epochs or steps, not both, got epochs={epochs} and steps={steps}")
    for name, length in (("epochs", epochs), ("steps", steps)):
        if length is not None and not length > 0:
            raise ValueError(f"fit: {name} must be above 0, got {length}")
    began = time.perf_counter()
    state = make_state(params, optimizer, key, model_state)
    data, validation = (jax.tree.map(jnp.asarray, x) for x in (data, validation))
    needs_change = rule is not None and any(
        each.recipe.name == "change" and each.arguments["over"] == "batch" for each in rule.walk()
    )
    step = make_step(loss_fn, batch_change=needs_change, watch=watch)
    size = min(64, num_rows(data)) if batch_size is None else batch_size
    epoch = make_epoch(step, size, order=order, steps=every)
    if evaluate is None and validation is not None:
        evaluate = make_evaluate(loss_fn)
    run = make_run(epoch, evaluate, monitor, mode)
    per_epoch = epoch.batches_per_epoch(data)
    period = every or per_epoch
    total = steps if steps is not None else math.ceil((100 if epochs is None else epochs) * per_epoch)
    guarded = stopping.any_of(stopping.non_finite(), stopping.divergence(), rule or stopping.never())
    run_state = start_run(run, state, guarded, data, validation, capacity=math.ceil(total / period))
    driver = Driver(data, validation, progress, began)
    with driver.listening():
        run_state = driver.drive(run, run_state, total // period)
        if total % period:  # the last, shorter period, so that the length is exact
            rest = dataclasses.replace(epoch, steps=total % period)
            run_state = driver.drive(make_run(rest, evaluate, monitor, mode), run_state, -(-total // period))
    return summarize(run, run_state, time.perf_counter() - began - driver.compile_seconds, driver.compile_seconds)


def summarize(run: Run, run_state: RunState, seconds: float, compile_seconds: float) -> Result:
    """The finished run as a Result; a run that used up its length without a verdict stopped by BUDGET."""
    done = int(run_state.evaluations)
    stop = Stop(int(run_state.stop))
    params, model_state = run_state.best
    history = {name: np.asarray(x)[:done] for name, x in run_state.history.items()}
    sign = 1 if run.mode == "min" else -1
    on_validation = f"validation_{run.monitor}" in history
    return Result(
        stop=Stop.BUDGET if stop == Stop.RUNNING else stop,
        params=tree.whole(params),
        model_state=tree.whole(model_state),
        last=run_state.state,
        history=history,
        monitor=f"{'validation' if on_validation else 'training'} {run.monitor}",
        best_value=sign * float(run_state.best_value),
        best_evaluation=int(run_state.best_evaluation),
        steps=int(run_state.state.step),
        epochs=float(history["epoch"][-1]) if done else 0.0,
        seconds=seconds,
        compile_seconds=compile_seconds,
    )
