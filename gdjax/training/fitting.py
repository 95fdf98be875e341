"""The common case in one call: a run, driven in compiled segments from the host."""

from __future__ import annotations

import dataclasses
import html
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from gdjax import stopping, tree
from gdjax.calls.node import Condition
from gdjax.data import as_arrays, num_rows
from gdjax.training.drive import Driver
from gdjax.training.epoch import make_epoch
from gdjax.training.evaluate import Evaluate, make_evaluate
from gdjax.training.explain import explain_run
from gdjax.training.run import Run, make_run, start_run
from gdjax.training.step import make_state, make_step
from gdjax.types import Params, RunState, Stop, TrainState


@dataclasses.dataclass(frozen=True)
class Result:
    """How a run ended, and what it found.

    `params` are those of the best evaluation on validation data; without such data the last (while the run was sound: what
    a run that went wrong keeps are those before), since a mean over an epoch, in which they moved, says nothing about which
    were best. `best_value` is the monitored value at the evaluation whose parameters are kept. `last` is the whole state at
    the end, `history` maps each metric to its value at every evaluation, `remarks` say what is odd about the run.
    `str(result)` says it in a sentence.
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
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        took = f"{self.seconds:.2f} s and {self.compile_seconds:.2f} s of compiling"
        ended = f"{self.stop.name} after {self.epochs:g} epochs ({self.steps} steps, {took})"
        return "; ".join((ended, self._kept(), *self.remarks))

    def _kept(self) -> str:
        """Which parameters these are."""
        number, epochs = self.best_evaluation, self.history["epoch"]
        if self.monitor.startswith("validation "):
            if number < 0:
                return "no evaluation was finite, the parameters are the first"
            return f"best {self.monitor} {self.best_value:.5g} at epoch {epochs[number]:g}, whose parameters are kept"
        if number < 0:
            return "it went wrong before the first evaluation, the parameters are the first"
        span = epochs[number] - (epochs[number - 1] if number else 0)
        over = "the last epoch" if math.isclose(span, 1, rel_tol=1e-3) else f"the last {span:.3g} epochs"
        if number == len(epochs) - 1:
            return f"{self.monitor} {self.best_value:.5g}, the mean over {over}, whose last parameters are kept"
        return (
            f"{self.monitor} {self.best_value:.5g}, the mean over {over} up to epoch {epochs[number]:g}, whose last "
            "parameters are kept: the run went wrong after it"
        )

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
    stop: Condition | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    every: int | None = None,
    batch_size: int | None = None,
    order: str = "shuffle",
    evaluate: Evaluate | None = None,
    monitor: str | tuple[str, str] = "loss",
    mode: str | None = None,
    model_state: Any = (),
    key: jax.Array | int = 0,
    progress: Callable[[RunState], None] | None = None,
    watch: Any = None,
) -> Result:
    """Train to a stop, keep the best parameters (without validation data the last), say how it went.

    Args:
        loss_fn: (params, batch, key) -> (scalar, metrics), or what `per_example` or `stateful` return.
        params: any pytree.
        optimizer: ours or Optax's.
        data: a pytree of arrays that share their leading axis.
        validation: the same, to evaluate on (the training data again, if the best on those is wanted); None monitors the
            training loss, the mean over the steps since the last evaluation, and keeps the last parameters.
        stop: a condition of `gdjax.stopping`; a run that is not finite, or comes to a thousand times the loss of its first
            batch (or 1000), stops whatever the condition.
        epochs, steps: at most one; the length of the run if nothing ends it before, 100 epochs if neither is given. A step
            is a batch, though an optimizer may `accumulate` several for an update.
        every: batches between evaluations; None is one epoch.
        batch_size, order: as for `make_epoch`; None is 64, or all rows where there are fewer.
        evaluate: what `make_evaluate` returns; None evaluates the loss.
        monitor: the metric that decides, e.g. "loss"; a number that the loss reports beside its value as (name, "max") or
            (name, "min"), since whether more of it is better is not known.
        mode: "max" or "min", as the second of that pair.
        model_state: what a `stateful` loss starts from.
        key: a JAX key or an int seed.
        progress: called with the RunState between compiled segments.
        watch: what `backprop.watch` returns, for the flow of the gradient in the history.

    Raises: ValueError, in the words of the loss, where it was given what it is not defined for (labels of another kind,
        probabilities above 1) and so was not finite.

    A second call with other numbers (rate, decay, schedule values, patience, key) compiles nothing. Ctrl-C ends the run
    at the next segment with all it has found, as INTERRUPTED; a second one raises.
    """
    if epochs is not None and steps is not None:
        raise ValueError(f"fit: give epochs or steps, not both, got epochs={epochs} and steps={steps}")
    for name, length in (("epochs", epochs), ("steps", steps)):
        if length is not None and not length > 0:
            raise ValueError(f"fit: {name} must be above 0, got {length}")
    began = time.perf_counter()
    remarks = _scales_apart(data)
    data, validation = as_arrays("fit", data), as_arrays("fit", validation)
    needs_change = stop is not None and any(
        each.recipe.name == "change" and each.arguments["over"] == "batch" for each in stop.walk()
    )
    step = make_step(loss_fn, batch_change=needs_change, watch=watch)
    size = min(64, num_rows(data)) if batch_size is None else batch_size
    epoch = make_epoch(step, size, order=order, steps=every)
    if evaluate is None and validation is not None:
        evaluate = make_evaluate(loss_fn)
    per_epoch = epoch.batches_per_epoch(data)
    period = every or per_epoch
    run = make_run(dataclasses.replace(epoch, steps=None), evaluate, monitor, mode)  # the period is a number: no shape
    total = steps if steps is not None else math.ceil((100 if epochs is None else epochs) * per_epoch)
    guarded = stopping.any_of(stopping.non_finite(), stopping.divergence(), stop or stopping.never())

    def start() -> RunState:
        state = make_state(params, optimizer, key, model_state)
        return start_run(run, state, guarded, data, validation, steps=np.int32(period))

    run_state = start()
    driver = Driver(data, validation, progress, began)
    with driver.listening():
        run_state = driver.drive(run, run_state, total // period, period)
        if total % period:  # the last, shorter period, so that the length is exact
            run_state = driver.drive(run, run_state, -(-total // period), total % period)
    seconds = time.perf_counter() - began - driver.compile_seconds
    result = summarize(run, run_state, seconds, driver.compile_seconds)
    if _has_non_finite_loss(result):
        explain_run(step, epoch, params, data, validation, make_state(params, optimizer, key, model_state))
    remarks = (*_nothing_learned(result, run, run_state, params, lambda: driver.look(run, start())), *remarks)
    return dataclasses.replace(result, remarks=remarks)


def _has_non_finite_loss(result: Result) -> bool:
    losses = [result.history[name] for name in ("loss", "validation_loss") if name in result.history]
    return not all(np.isfinite(each).all() for each in losses)


def summarize(run: Run, run_state: RunState, seconds: float, compile_seconds: float) -> Result:
    """The finished run as a Result; a run that used up its length without a verdict stopped by BUDGET."""
    done = int(run_state.evaluations)
    stop = Stop(int(run_state.stop))
    params, model_state = run_state.best
    history = {name: np.asarray(x)[:done] for name, x in run_state.history.items()}
    if np.isnan(history.get("learning_rate", [])).all():  # the leaves never had one rate
        history.pop("learning_rate", None)
    name, _ = run.monitored(_shapes(history))
    on_validation = name.startswith("validation_")
    return Result(
        stop=Stop.BUDGET if stop == Stop.RUNNING else stop,
        params=tree.whole(params),
        model_state=tree.whole(model_state),
        last=run_state.state,
        history=history,
        monitor=f"{'validation' if on_validation else 'training'} {name.removeprefix('validation_')}",
        best_value=run.sign(_shapes(history)) * float(run_state.best_value),
        best_evaluation=int(run_state.best_evaluation),
        steps=int(run_state.state.step),
        epochs=float(history["epoch"][-1]) if done else 0.0,
        seconds=seconds,
        compile_seconds=compile_seconds,
    )


def _shapes(history: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One row of the history, for its names and shapes."""
    return {name: np.zeros(x.shape[1:]) for name, x in history.items()}


def _nothing_learned(
    result: Result, run: Run, run_state: RunState, params: Params, at_start: Callable[[], RunState]
) -> tuple[str, ...]:
    """What tells a run that learned nothing from one that did; the start is evaluated only where there is a doubt."""
    trained = zip(jax.tree.leaves(run_state.state.params), jax.tree.leaves(tree.part(params)), strict=True)
    if all(np.array_equal(np.asarray(a), np.asarray(b, a.dtype)) for a, b in trained):
        return ("nothing was learned: no step moved the parameters (is the gradient 0, or the learning rate?)",)
    first, number, history = float(run_state.first_loss), result.best_evaluation, result.history
    if number < 0:
        return ()
    if result.monitor.startswith("validation "):
        if history["validation_loss"][number] < first - 0.5 * abs(first):
            return ()
        start = float(at_start().best_value)
    else:  # the mean over the first epoch, in which they moved, is no better than they were
        start = max(first, float(history["loss"][0])) if result.monitor == "training loss" else np.inf
    oriented = float(run_state.best_value)
    if not oriented >= start or (number == 0 and not result.monitor.startswith("validation ")):
        return ()
    value = start * run.sign(_shapes(history))
    return (f"no better than the parameters handed in, of {result.monitor} {value:.5g}",)


def _first_rows(leaf: Any) -> np.ndarray:
    if not isinstance(leaf, jax.Array):
        return np.asarray(leaf[:1000] if hasattr(leaf, "shape") and np.ndim(leaf) else leaf)
    shard = leaf.addressable_shards[0].data
    return np.asarray(shard)[:1000] if shard.platform() == "cpu" else np.asarray(shard[:1000])


APART = 1e4  # scales that differ by more hide some columns from descent with one rate


def _scales_apart(data: Any) -> tuple[str, ...]:
    """Whether columns of a matrix in the data, by their first rows, are of scales too far apart."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(data):
        x = _first_rows(leaf)
        if x.ndim != 2 or not np.issubdtype(x.dtype, np.floating):
            continue
        scales = np.abs(x).max(axis=0)
        scales = scales[np.isfinite(scales) & (scales > 0)].astype(float)
        if scales.size > 1 and scales.max() > APART * scales.min():
            ratio, where = scales.max() / scales.min(), tree.path_string(path)
            return (f"columns of the data at {where} differ in scale by {ratio:.1g}: standardize them",)
    return ()
