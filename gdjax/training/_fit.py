"""`fit`: a whole training run in one call, written on `segments`."""

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
from gdjax.calls import Condition
from gdjax.data import as_rows, num_rows
from gdjax.domain import as_length
from gdjax.forms import hide_frames
from gdjax.programs import compile_once
from gdjax.training._segments import ANY, SEGMENT_SECONDS, rings, segments
from gdjax.training.arguments import check_arguments, check_validation, error_context, short
from gdjax.training.epoch import Epoch, make_epoch
from gdjax.training.evaluate import Evaluate, make_evaluate
from gdjax.training.explain import explain_run
from gdjax.training.result import Result, shapes_of, summarize
from gdjax.training.resume import resume_state
from gdjax.training.run import Run, make_run, start_run
from gdjax.training.step import Step, make_state, make_step
from gdjax.types import Params, RunState, Stop


def fit(
    loss: Any,
    params: Params,
    optimizer: Any,
    data: Any,
    validation: Any = None,
    *,
    epochs: float | None = None,
    steps: int | None = None,
    every: int | None = None,
    batch_size: int | None = None,
    order: str = "shuffle",
    stop: Condition | None = None,
    monitor: str | tuple[str, str] = "loss",
    evaluate: Evaluate | None = None,
    model_state: Any = (),
    key: jax.Array | int = 0,
    resume: Result | RunState | None = None,
) -> Result:
    """Train until a stopping condition holds, and return the best parameters (without validation data, the last).

    Args:
        loss: as for `make_step`, or a step that it returned (with probes, for example).
        params: any pytree.
        optimizer: an optimizer of gdjax or Optax.
        data: a pytree of arrays that share their leading axis, or a `gdjax.data.Dataset`.
        validation: validation data of the same structure (the training data again, to keep the parameters that are best on
            them). None monitors the training loss, averaged over the steps since the last evaluation.
        epochs, steps: the maximal length of the run; give at most one of them. The default is 100 epochs. A step is one
            batch, also if the optimizer accumulates several batches for an update.
        every: batches between evaluations (default: one epoch).
        batch_size, order: as for `make_epoch`; the default batch size is 64, or the number of rows if that is smaller.
        stop: a condition of `gdjax.stopping`. In any case a run stops if its loss is not finite, or exceeds both 1000 and a
            thousand times the loss of the first batch.
        monitor: the metric that decides which parameters are best, such as "loss". For a number that the loss itself reports
            it must be (name, "max") or (name, "min"), since the better direction of such a number is unknown.
        evaluate: an evaluation of `make_evaluate` (default: the mean loss).
        model_state: initial model state of a `stateful` loss.
        key: a JAX key or an integer seed.
        resume: a result, or its run_state, to continue. 20 epochs continued to 50 equal 50 epochs to the last bit. The
            length counts from the very start; parameters, states, key and history are those of the result, and the numbers
            of the optimizer and the condition are those given here. A run that its condition has ended needs another
            condition.

    Raises:
        ValueError: the loss is not finite because of an argument outside its domain (labels of another kind, probabilities
            above 1); the loss says which.
        TypeError: an argument is of the wrong kind; the message says what to write.

    A second call with other numbers (learning rate, decay, schedule values, patience, key, length) compiles nothing. Ctrl-C
    ends the run at the next segment with stop INTERRUPTED and all that it has found; a second Ctrl-C raises. For work
    between evaluations (a progress bar, a checkpoint), write a loop over `segments`.

    >>> data = jnp.array([1.0, 3.0])
    >>> result = gd.fit(lambda w, rows: jnp.mean((w - rows) ** 2), 0.0, gd.sgd(0.25), data, epochs=2, batch_size=2)
    >>> print(result.params, result.history["loss"])
    1.5 [5. 2.]
    """
    try:
        fitting = Fitting(
            loss,
            params,
            optimizer,
            data,
            validation,
            Length(epochs, steps, every),
            batch_size,
            order,
            stop,
            monitor,
            evaluate,
            model_state,
            key,
            resume,
        )
        for _ in fitting.segments():
            pass
        return fitting.result()
    except Exception as error:
        raise hide_frames(error)  # noqa: B904  (it is the same)


DEFAULT_EPOCHS = 100


@dataclasses.dataclass(frozen=True)
class Length:
    """How long a run is, and how often it is evaluated."""

    epochs: float | None = None
    steps: int | None = None
    every: int | None = None

    def __post_init__(self) -> None:
        if self.epochs is not None and self.steps is not None:
            raise ValueError(f"fit: give epochs or steps, not both, got epochs={self.epochs} and steps={self.steps}")
        epochs = 1.0 if self.epochs is None else self.epochs
        if not (isinstance(epochs, (int, float, np.number)) and 0 < epochs < math.inf):
            must = "finite" if epochs == math.inf else "above 0"
            raise ValueError(f"fit: epochs must be {must}, got {epochs!r}")
        for name in ("steps", "every"):
            if (length := getattr(self, name)) is not None:
                object.__setattr__(self, name, as_length("fit", name, length))

    def batches(self, per_epoch: int) -> int:
        """The number of batches; a part of a batch counts as one, unless it is the rounding of a product of two numbers."""
        if self.steps is not None:
            return self.steps
        number = float(DEFAULT_EPOCHS if self.epochs is None else self.epochs) * per_epoch
        return round(number) if math.isclose(number, round(number), rel_tol=1e-9) else math.ceil(number)

    def pieces(self, done: int, per_epoch: int, taken: int = 0) -> list[tuple[int, int]]:
        """(evaluations, batches before each): whole periods, and shorter ones at the ends.

        Args:
            done: batches read at the start of the first piece.
            taken: those of them since the last evaluation, which the first piece counts too.
        """
        total, period = self.batches(per_epoch), self.every or per_epoch
        first = min(-done % period, total - done)
        whole, last = divmod(total - done - first, period)
        parts = (1, first + taken if first else 0), (whole, period), (1, last)
        return [(count, size) for count, size in parts if count and size]


class Fitting:
    """The parts of `fit`: its prepared arguments, its segments and its result."""

    began: float  # seconds of the clock
    compile_seconds: float
    params: Params
    optimizer: Any
    model_state: Any
    key: jax.Array | int
    data: Any
    validation: Any
    remarks: tuple[str, ...]
    epoch: Epoch
    per_epoch: int  # batches
    run: Run
    condition: Condition
    length: Length
    run_state: RunState

    @error_context("fit")
    def __init__(
        self,
        loss: Any,
        params: Params,
        optimizer: Any,
        data: Any,
        validation: Any,
        length: Length,
        batch_size: int | None = None,
        order: str = "shuffle",
        stop: Condition | None = None,
        monitor: str | tuple[str, str] = "loss",
        evaluate: Evaluate | None = None,
        model_state: Any = (),
        key: jax.Array | int = 0,
        resume: Result | RunState | None = None,
    ):
        self.began, self.compile_seconds = time.perf_counter(), 0.0
        check_arguments(params, optimizer, data, validation, stop, key)
        _check_evaluate(evaluate)
        self.params, self.optimizer, self.model_state, self.key = params, optimizer, model_state, key
        self.data, self.validation = as_rows("fit", data), as_rows("fit", validation)
        check_validation(self.data, self.validation)
        rows = num_rows(self.data)
        size = min(64, rows) if batch_size is None else batch_size
        self.remarks = _scale_warnings(self.data)
        step = loss if isinstance(loss, Step) else make_step(loss)
        if stop is not None and _needs_change(stop):
            step = dataclasses.replace(step, batch_change=True)
        self.epoch = make_epoch(step, size, order=order, steps=length.every)
        if evaluate is None and validation is not None:
            evaluate = make_evaluate(step.loss)
        self.per_epoch = self.epoch.batches_per_epoch(self.data)
        self.run = make_run(dataclasses.replace(self.epoch, steps=None), evaluate, monitor)  # the period is traced
        self.condition = stopping.any_of(stopping.non_finite(), stopping.divergence(), stop or stopping.never())
        self.length = length
        self.run_state = self.start() if resume is None else self._resume(resume)

    @property
    def period(self) -> np.int32:
        return np.int32(self.length.every or self.per_epoch)

    def start(self) -> RunState:
        state = make_state(self.params, self.optimizer, self.key, self.model_state)
        return start_run(self.run, state, self.condition, self.data, self.validation, steps=self.period)

    def _resume(self, resume: Any) -> RunState:
        given = resume.run_state if isinstance(resume, Result) else resume
        state = given.state if isinstance(given, RunState) else make_state(self.params, self.optimizer)
        part = self.run.shapes(state, self.data, self.validation, self.period)
        run_state = resume_state(given, self.params, self.optimizer, self.condition, part)
        done, total = int(run_state.state.batches), self.length.batches(self.per_epoch)
        if total < done:
            raise ValueError(
                f"fit: a run that is resumed must be at least as long as it is, {done / self.per_epoch:g} epochs ({done} "
                f"steps), got {total / self.per_epoch:g} epochs ({total} steps); the length counts from the very start"
            )
        return run_state

    def segments(self, batches: int = 1, seconds: float = SEGMENT_SECONDS) -> Iterator[RunState]:
        """The RunState after each segment, valid only in the body of the loop; Ctrl-C ends the loop at the next segment.

        Args:
            batches, seconds: as for `gdjax.training.segments`; a segment may end after any batch.
        """
        at_start = self.run_state
        pieces = self.length.pieces(int(at_start.state.batches), self.per_epoch, int(at_start.taken))
        if not pieces or int(at_start.stop) != Stop.RUNNING:
            return
        with error_context("fit"):
            self._compile()
        with listening() as signals:
            for count, size in pieces:
                for run_state in self._segments(count, size, batches, seconds):
                    interrupted = bool(signals) and int(run_state.stop) == Stop.RUNNING
                    stop = jnp.array(np.int32(Stop.INTERRUPTED)) if interrupted else run_state.stop
                    self.run_state = run_state._replace(stop=stop)
                    yield self.run_state
                    if interrupted:
                        return

    def _segments(self, count: int, size: int, batches: int, seconds: float) -> Iterator[RunState]:
        until, elapsed = int(self.run_state.evaluations) + count, time.perf_counter() - self.began
        args = self.run, self.run_state, self.data, self.validation, until, size
        with error_context("fit"):
            yield from segments(*args, keep=False, batches=batches, seconds=seconds, elapsed=elapsed)

    def _compile(self) -> None:
        """Compile the segments' program without running it."""
        before, run_state, room = time.perf_counter(), self.run_state, rings(self.run_state)
        called = self._call(run_state._replace(history=room), int(run_state.evaluations), self.period)
        self.run_state = jax.block_until_ready(called)
        if room is not run_state.history:
            self.run_state = called._replace(history=run_state.history)  # all of it, which the host has
        self.compile_seconds = time.perf_counter() - before

    def _call(self, run_state: RunState, until: Any, steps: Any) -> RunState:
        program = compile_once(self.run, donate=(0,))
        length = np.int32(until), np.float32(0), np.int32(steps), np.int32(ANY)
        return program(run_state, self.data, self.validation, *length)

    @error_context("fit")
    def result(self) -> Result:
        """The result, after the last segment."""
        seconds = time.perf_counter() - self.began - self.compile_seconds
        result = summarize(self.run, self.run_state, seconds, self.compile_seconds)
        if _has_non_finite_loss(result):
            first = make_state(self.params, self.optimizer, self.key, self.model_state)
            explain_run(self.epoch.step, self.epoch, self.params, self.data, self.validation, first)
        at_start = lambda: self._call(self.start(), 1, 0)  # noqa: E731  (an evaluation without a step before it)
        remarks = (*_learning_warnings(result, self.run, self.run_state, self.params, at_start), *self.remarks)
        return dataclasses.replace(result, remarks=remarks)


@contextlib.contextmanager
def listening() -> Iterator[list[int]]:
    """A list that is not empty after Ctrl-C, to be read between segments; a second Ctrl-C raises as usual."""
    signals: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return

    def note(number, frame):
        signals.append(number)
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield signals
    finally:
        signal.signal(signal.SIGINT, previous)


def _check_evaluate(evaluate: Any) -> None:
    if evaluate is not None and not isinstance(evaluate, Evaluate):
        raise TypeError(
            "fit: evaluate must be what make_evaluate returns, write evaluate=gd.make_evaluate(loss, metrics, predict), got "
            f"{short(evaluate)}"
        )


def _needs_change(stop: Condition) -> bool:
    """Whether a condition reads the change of the loss over a batch."""
    return "batch_change" in stop.declared("needs")


def _has_non_finite_loss(result: Result) -> bool:
    losses = [result.history[name] for name in ("loss", "validation_loss") if name in result.history]
    return not all(np.isfinite(each).all() for each in losses)


def _learning_warnings(
    result: Result, run: Run, run_state: RunState, params: Params, at_start: Callable[[], RunState]
) -> tuple[str, ...]:
    """Warnings for a run that learned nothing; the initial parameters are evaluated only if this is unclear."""
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
    value = start * run.sign(shapes_of(history))
    return (f"no better than the parameters handed in, of {result.monitor} {value:.5g}",)


def _first_rows(leaf: Any) -> np.ndarray:
    if not isinstance(leaf, jax.Array):
        return np.asarray(leaf[:1000] if hasattr(leaf, "shape") and np.ndim(leaf) else leaf)
    shard = leaf.addressable_shards[0].data
    return np.asarray(shard)[:1000] if shard.platform() == "cpu" else np.asarray(shard[:1000])


APART = 1e4  # the largest ratio of column scales with which one learning rate still trains all columns


def _scale_warnings(data: Any) -> tuple[str, ...]:
    """A warning if the scales of the columns of a matrix in the data differ too much, judged by its first rows."""
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
