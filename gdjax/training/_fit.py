"""`fit`: a whole training run in one call, written on `segments`."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import stopping
from gdjax.calls import Condition
from gdjax.data import num_rows
from gdjax.data.shards import rows_in
from gdjax.forms import hide_frames
from gdjax.training._memory import Memory, memory
from gdjax.training._placement import Placement
from gdjax.training._segments import SEGMENT_SECONDS, rings, segments
from gdjax.training.arguments import check_arguments, check_validation, error_context, short
from gdjax.training.cause import raise_first_cause
from gdjax.training.epoch import Epoch, make_epoch
from gdjax.training.evaluate import Evaluate, make_evaluate
from gdjax.training.explanation import Explanation, explain_placement
from gdjax.training.feeds import Feed, LoaderFeed, SourceFeed, as_data, as_validation, rows_seen
from gdjax.training.inference import as_placement
from gdjax.training.interrupts import listening
from gdjax.training.length import Length
from gdjax.training.reading import ANY
from gdjax.training.remarks import learning_warnings, left_out, not_finite, other_batches, other_epochs, scale_warnings
from gdjax.training.result import Result, summarize
from gdjax.training.resume import resume_state
from gdjax.training.run import Run, make_run, start_run
from gdjax.training.step import Step, make_state, make_step
from gdjax.training.together import Alone, processes_of
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
    refresh: int = 0,
    keep_best: bool = True,
    placement: Placement | None = None,
) -> Result:
    """Train until a stopping condition holds, and return the best parameters (without validation data, the last).

    Args:
        loss: as for `make_step`, or a step that it returned (with probes or other convolutions, for example).
        params: any pytree.
        optimizer: an optimizer of gdjax or Optax.
        data: a pytree of arrays that share their leading axis, or a `gdjax.data.Dataset`; data larger than memory as a
            `Source`, such as `gdjax.data.open_rows` opens, with the same results to the last bit; or any iterable of
            batches, such as a generator or a DataLoader, in its own order (`gdjax.data.Batches`).
        validation: validation data of the same structure (the training data again, to keep the parameters that are best on
            them). None monitors the training loss, averaged over the steps since the last evaluation.
        epochs, steps: the maximal length of the run; give at most one of them. The default is 100 epochs (1 of a generator,
            which is used up once). A step is one batch, also if the optimizer accumulates several batches for an update.
        every: batches between evaluations (default: one epoch).
        batch_size, order: as for `make_epoch`; the default batch size is 64, or the number of rows if that is smaller. An
            iterable of batches has its own.
        stop: a condition of `gdjax.stopping`. In any case a run stops if its loss is not finite, or exceeds both 1000 and a
            thousand times the loss of the first batch.
        monitor: the metric that decides which parameters are best, such as "loss". For a number that the loss itself reports
            it must be (name, "max") or (name, "min"), since the better direction of such a number is unknown.
        evaluate: an evaluation of `make_evaluate` (default: the mean loss, with the convolutions of the step).
        model_state: initial model state of a `stateful` loss.
        key: a JAX key or an integer seed.
        resume: a result, or its run_state, to continue. 20 epochs continued to 50 equal 50 epochs to the last bit. The
            length counts from the very start; parameters, states, key and history are those of the result, and the numbers
            of the optimizer and the condition are those given here. A run that its condition has ended needs another
            condition. A remark tells of another batch size or other data, with which the order of the rows is another.
        refresh, keep_best: as for `make_run`: batches that renew the model state of an average before it is evaluated; and
            whether a second copy of the parameters holds the best (without validation data, the last that were finite).
        placement: of `gd.placement`: the devices over which the rows of each batch are divided, and on which the parameters
            lie. A run may be resumed with another. Arrays that lie on several devices have one without it, which a remark
            tells. Each process is given all of the data, the same as the others, or global arrays.

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
            refresh,
            keep_best,
            placement,
        )
        for _ in fitting.segments():
            pass
        return fitting.result()
    except Exception as error:
        raise hide_frames(error)  # noqa: B904  (it is the same)


class Fitting:
    """The parts of `fit`: its prepared arguments, its segments and its result."""

    began: float  # seconds of the clock
    compile_seconds: float
    clock: float  # `seconds` at the end of the last segment, in process 0
    params: Params
    optimizer: Any
    model_state: Any
    key: jax.Array | int
    data: Any
    validation: Any
    remarks: tuple[str, ...]
    epoch: Epoch
    per_epoch: Any  # batches; None before the first pass over a loader that does not say it
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
        refresh: int = 0,
        keep_best: bool = True,
        placement: Placement | None = None,
    ):
        self.began, self.compile_seconds, self.clock = time.perf_counter(), 0.0, 0.0
        check_arguments(params, optimizer, data, validation, stop, key)
        _check_evaluate(evaluate)
        self.params, self.optimizer, self.model_state, self.key = params, optimizer, model_state, key
        beside = model_state, optimizer, key
        placement, self.remarks = as_placement(placement, params, data, validation, resume, beside)
        self.data = as_data("fit", data, placement)
        is_one = validation is data and not isinstance(self.data, Feed)
        self.validation = self.data if is_one else as_validation("fit", validation, placement)
        head = self.data.head if isinstance(self.data, Feed) else rows_in(self.data)
        check_validation(head, rows_in(self.validation))
        length, batch_size, order = _of_a_loader(self.data, length, batch_size, order)
        in_memory = head if isinstance(self.data, LoaderFeed) else self.data
        rows = self.data.rows if isinstance(self.data, SourceFeed) else num_rows(in_memory)
        size = min(64, rows) if batch_size is None else batch_size
        self.remarks += (*scale_warnings(head), *other_batches(placement, self.data))
        step = loss if isinstance(loss, Step) else make_step(loss)
        if stop is not None and _needs_change(stop):
            step = dataclasses.replace(step, batch_change=True)
        self.epoch = make_epoch(step, size, order=order, steps=length.every, placement=placement)
        if evaluate is None and validation is not None:
            evaluate = make_evaluate(step.loss, convolutions=step.convolutions)
        self.per_epoch = self.epoch.batches_per_epoch(self.data)
        epoch = dataclasses.replace(self.epoch, steps=None)  # the period is traced
        self.run = make_run(epoch, evaluate, monitor, refresh=refresh, keep_best=keep_best)
        self.condition = stopping.any_of(stopping.non_finite(), stopping.divergence(), stop or stopping.never())
        self.length = length
        self.run_state = self.start() if resume is None else self._resume(resume)

    @property
    def period(self) -> np.int32:
        return np.int32(self.length.every or self.per_epoch or 1)

    def start(self) -> RunState:
        state = make_state(self.params, self.optimizer, self.key, self.model_state, placement=self.run.placement)
        return start_run(self.run, state, self.condition, self.data, self.validation, steps=self.period)

    def _resume(self, resume: Any) -> RunState:
        given = resume.run_state if isinstance(resume, Result) else resume
        state = given.state if isinstance(given, RunState) else make_state(self.params, self.optimizer)
        part = self.run.shapes(state, self._rows, self.validation, self.period)
        run_state = resume_state(given, self.params, self.optimizer, self.condition, part)
        done = int(run_state.state.batches)
        if isinstance(self.data, LoaderFeed):
            self.data.resume(done, getattr(resume, "data_state", None))
            self.per_epoch = self.data.per_pass
        run_state = self.run.place(run_state)
        self.remarks += other_epochs(run_state, self.per_epoch)
        total = self._total()
        if total < done:
            raise ValueError(
                f"fit: a run that is resumed must be at least as long as it is, {done / self.per_epoch:g} epochs ({done} "
                f"steps), got {total / self.per_epoch:g} epochs ({total} steps); the length counts from the very start"
            )
        return run_state

    def go_on_from(self, run_state: RunState, seconds: float = 0.0, compile_seconds: float = 0.0) -> None:
        """Let the segments begin at this state of the same run, which has taken so many seconds, and others of compiling."""
        self.run_state = self._resume(run_state)
        self.began -= seconds + compile_seconds
        self.compile_seconds += compile_seconds
        self.clock = seconds

    @property
    def seconds(self) -> float:
        """The seconds of the run so far, without those of compiling."""
        return time.perf_counter() - self.began - self.compile_seconds

    def segments(
        self, batches: int = 1, seconds: float = SEGMENT_SECONDS, signals: list[int] | None = None
    ) -> Iterator[RunState]:
        """The RunState after each segment, valid only in the body of the loop; Ctrl-C ends the loop at the next segment.

        Args:
            batches, seconds: as for `gdjax.training.segments`; a segment may end after any batch.
            signals: a list that is not empty once the loop is to end, where the caller listens to signals itself.
        """
        at_start = self.run_state
        has_more = int(at_start.state.batches) < self._total() or int(at_start.taken)
        if not has_more or int(at_start.stop) != Stop.RUNNING:
            return
        with error_context("fit"):
            self.compile()
        together = processes_of(at_start)
        with together.in_step(), listening() if signals is None else contextlib.nullcontext(signals) as signals:
            for count, size in self._pieces():
                for run_state in self._segments(count, size, batches, seconds):
                    came = self._meet(together, signals)
                    more = int(run_state.stop) == Stop.RUNNING and int(run_state.state.batches) < self._total()
                    interrupted = bool(came) and more
                    stop = jnp.array(np.int32(Stop.INTERRUPTED)) if interrupted else run_state.stop
                    self.run_state = run_state._replace(stop=stop)
                    yield self.run_state
                    if interrupted:
                        signals.extend(came if not signals else [])
                        return

    def _meet(self, together: Alone, signals: list[int]) -> list[int]:
        """Set the clock by that of process 0; return the signals that have come to any process."""
        said = together.everywhere(lambda: [self.seconds, signals[:1]])
        self.clock = said[0][0]
        return [number for _, came in said for number in came]

    def _total(self) -> float:
        """Batches of the whole run; inf if they are not known before the first pass."""
        unknown = self.per_epoch is None and self.length.steps is None
        return math.inf if unknown else self.length.batches(self.per_epoch)

    @property
    def _counts_first_pass(self) -> bool:
        """Whether the run begins with a pass over a loader that nobody knows the length of."""
        return self.per_epoch is None and self.length.every is None

    def _pieces(self) -> Iterator[tuple[int, int | None]]:
        if self._counts_first_pass:
            self.data.most = self.length.steps
            yield 1, None
            self.per_epoch = self.data.per_pass
            if self.per_epoch is None:  # the run has ended within the pass
                return
        at = self.run_state
        yield from self.length.pieces(int(at.state.batches), self.per_epoch, int(at.taken))

    def _segments(self, count: int, size: int | None, batches: int, seconds: float) -> Iterator[RunState]:
        until, elapsed = int(self.run_state.evaluations) + count, time.perf_counter() - self.began
        args = self.run, self.run_state, self.data, self.validation, until, size
        with error_context("fit"):
            yield from segments(*args, keep=False, batches=batches, seconds=seconds, elapsed=elapsed)

    def compile(self) -> None:
        """Compile the segments' program without running it."""
        before, run_state, room = time.perf_counter(), self.run_state, rings(self.run_state)
        called = self._call(self.run.place(run_state._replace(history=room)), int(run_state.evaluations), self.period)
        self.run_state = jax.block_until_ready(called)
        if room is not run_state.history:
            self.run_state = called._replace(history=run_state.history)  # all of it, which the host has
        self.compile_seconds += time.perf_counter() - before

    def _call(self, run_state: RunState, until: Any, steps: Any) -> RunState:
        program = self.run.compiled(donate=(0,))
        return program(run_state, self._rows, self.validation, *_length(until, steps))

    @property
    def _rows(self) -> Any:
        """The data as the program takes them; those that come in windows, as one of no batches."""
        return self.data.template(self.epoch) if isinstance(self.data, Feed) else self.data

    @error_context("fit")
    def result(self) -> Result:
        """The result, after the last segment."""
        result = summarize(self.run, self.run_state, self.seconds, self.compile_seconds)
        if _has_non_finite_loss(result):
            first = self.start().state
            rows = rows_seen(self.data) if isinstance(self.data, Feed) else self.data
            raise_first_cause(self.epoch.step, self.epoch, first.params, rows, self.validation, first)
        at_start = lambda: self._call(self.start(), 1, 0)  # noqa: E731  (an evaluation without a step before it)
        learning = learning_warnings(result, self.run, self.run_state, self.params, at_start)
        spoiled = not_finite(result.stop, params=self.params, data=self.data, validation=self.validation)
        remarks = (*spoiled, *learning, *left_out(self.run_state), *self.remarks)
        position = self.data.state_dict() if isinstance(self.data, Feed) else None
        return dataclasses.replace(result, remarks=remarks, data_state=position)

    def memory(self) -> Memory:
        """What the run takes at most; its program is compiled for this once more."""
        run_state = self.run_state._replace(history=rings(self.run_state))
        return memory(self.run, run_state, self._rows, self.validation, *_length(0, self.period))

    def explain(self) -> Explanation:
        """Where all of it lies, and what the devices exchange in a step, which is compiled alone for this."""
        return explain_placement(self.run, self.run_state, self._rows)


def _length(until: Any, steps: Any) -> tuple[Any, ...]:
    """The arguments of a run after the data: it ends at so many evaluations, after any number of seconds and batches."""
    return np.int32(until), np.float32(0), np.int32(steps), np.int32(ANY)


def _of_a_loader(data: Any, length: Length, batch_size: int | None, order: str) -> tuple[Length, int | None, str]:
    """The arguments of a run over batches that come one by one, in an order and of a size of their own."""
    if not isinstance(data, LoaderFeed):
        return length, batch_size, order
    loader = data.batches.loader
    kind = f"a {type(loader).__name__}"
    if batch_size not in (None, size := num_rows(data.head)):
        raise ValueError(f"fit: the batches of {kind} have {size} rows; leave batch_size out, got {batch_size!r}")
    if isinstance(loader, Iterator):
        if length.steps is None and (length.epochs or 1) > 1:
            raise ValueError(
                f"fit: {kind} is used up once, so epochs must be 1, or give steps=, got epochs={length.epochs:g}"
            )
        if length.steps is None:
            every = length.every
            length = Length(epochs=1.0) if every is None else Length(steps=ANY - ANY % every, every=every)
    elif data.per_pass is None and length.every is not None and length.steps is None:
        raise ValueError(
            f"fit: every needs steps=, since {kind} does not say how many batches an epoch has, got epochs alone"
        )
    return length, None, "sequence"


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
    if "skipped" in result.history and result.stop not in (Stop.NON_FINITE, Stop.DIVERGED):
        return False
    losses = [result.history[name] for name in ("loss", "validation_loss") if name in result.history]
    return not all(np.isfinite(each).all() for each in losses)
