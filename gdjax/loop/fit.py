"""The common case in one call: a run, driven in compiled segments from the host."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import stopping, tree
from gdjax.loop.epoch import make_epoch
from gdjax.loop.evaluate import Evaluate, make_evaluate
from gdjax.loop.run import Run, make_run, start_run
from gdjax.loop.step import make_state, make_step
from gdjax.nodes import Rule
from gdjax.programs import compiled
from gdjax.types import Params, RunState, Stop, TrainState

SEGMENT_SECONDS = 0.2  # between two looks of the host; the bits do not depend on it


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
    batch_size: int = 64,
    order: str = "shuffle",
    evaluate: Evaluate | None = None,
    monitor: str = "loss",
    mode: str = "min",
    model_state: Any = (),
    key: jax.Array | int = 0,
    progress: Callable[[RunState], None] | None = None,
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
        batch_size, order: as for `make_epoch`; batch_size is capped at the rows of the data.
        evaluate: what `make_evaluate` returns; None evaluates the loss.
        monitor, mode: the metric that decides, and its better direction.
        model_state: what a `stateful` loss starts from.
        key: a JAX key or an int seed.
        progress: called with the RunState between compiled segments.

    A second call with other numbers (rate, decay, schedule values, patience, key) compiles nothing. Ctrl-C ends the run
    at the next segment with all it has found, as INTERRUPTED; a second one raises.
    """
    if epochs is not None and steps is not None:
        raise ValueError(f"fit: give epochs or steps, not both, got epochs={epochs} and steps={steps}")
    began = time.perf_counter()
    state = make_state(params, optimizer, key, model_state)
    data, validation = (jax.tree.map(jnp.asarray, x) for x in (data, validation))
    needs_change = rule is not None and any(
        each.recipe.name == "change" and each.arguments["over"] == "batch" for each in rule.walk()
    )
    step = make_step(loss_fn, batch_change=needs_change)
    epoch = make_epoch(step, batch_size, order=order, steps=every)
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


@dataclasses.dataclass
class Driver:
    """Calls a compiled run segment by segment; between two the host looks at the clock, the signals, the progress."""

    data: Any
    validation: Any
    progress: Callable[[RunState], None] | None
    began: float
    compile_seconds: float = 0.0
    interrupted: bool = False

    def drive(self, run: Run, run_state: RunState, until: int) -> RunState:
        """run_state after `until` evaluations, or where its rule stopped it."""
        program = compiled(run, donate=(0,))
        done = int(run_state.evaluations)
        if done >= until or int(run_state.stop) != Stop.RUNNING:
            return run_state
        before = time.perf_counter()
        run_state = jax.block_until_ready(
            program(run_state, self.data, self.validation, done, 0.0)
        )  # compiles, runs nothing
        self.compile_seconds += time.perf_counter() - before
        length = 1
        while done < until and int(run_state.stop) == Stop.RUNNING:
            before = time.perf_counter()
            target = min(done + length, until)
            run_state = program(run_state, self.data, self.validation, target, before - self.began)
            done = int(run_state.evaluations)
            length = _next_length(length, time.perf_counter() - before)
            if self.progress is not None:
                self.progress(run_state)
            if self.interrupted and int(run_state.stop) == Stop.RUNNING:
                run_state = run_state._replace(stop=jnp.array(np.int32(Stop.INTERRUPTED)))
        return run_state

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Ctrl-C sets a flag for the next segment boundary; the second one raises as always."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number, frame):
            self.interrupted = True
            signal.signal(signal.SIGINT, previous)

        previous = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)


def _next_length(length: int, seconds: float) -> int:
    return max(1, min(2 * length, int(length * SEGMENT_SECONDS / max(seconds, 1e-9))))


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
