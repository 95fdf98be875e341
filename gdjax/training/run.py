"""A run: periods of training and evaluation under a stopping condition, as one compiled while-loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.calls import Condition, is_concrete
from gdjax.data import as_rows
from gdjax.domain import as_length
from gdjax.forms import Stateful
from gdjax.meshes import on_automatic_axes
from gdjax.programs import bind, compile_once
from gdjax.training._placement import Placement, automatic_axes
from gdjax.training.arguments import error_context
from gdjax.training.epoch import Epoch
from gdjax.training.evaluate import Evaluate
from gdjax.training.feeds import Feed, as_data, as_validation
from gdjax.training.period import Part, Period, rate_column
from gdjax.training.step import evaluation_params, state_alone
from gdjax.training.sums import empty
from gdjax.types import Evaluation, Metrics, Observation, RunState, Stop, Sums, TrainState

RING = 128  # evaluations in the history on the device; the host keeps all


def make_run(
    epoch: Epoch,
    evaluate: Evaluate | None = None,
    monitor: str | tuple[str, str] = "loss",
    *,
    keep_best: bool = True,
    refresh: int = 0,
) -> Run:
    """The transition of a whole run.

    Args:
        epoch: an epoch of `make_epoch`, the period between two evaluations. The run has its placement.
        evaluate: an evaluation of `make_evaluate`; None monitors the training metrics.
        monitor: the metric that decides which parameters are best and that conditions read; on validation data if there are
            any. The better direction is known for `loss` and the metrics of `gdjax.metrics`. For a number that a loss
            reports it is not: write (name, "max") or (name, "min").
        refresh: batches that are read before each evaluation, forward only, so that the model state is that of the
            parameters to evaluate and to keep: `refresh_model_state`. With 0 it is that of the trained ones.
        keep_best: False holds no second copy of the parameters: `best` of the RunState is (), and a result has the last.

    A period all of whose updates were skipped, by `skip_non_finite` or `scale_loss`, has a row of NaN in the history and is
    not judged: it cannot end the run.

    Returns: run(run_state, data, validation, until, seconds=None, steps=None, batches=None) -> run_state, compared by value.
        It trains until the condition in run_state holds or `until` evaluations are done; this is a traced int32, so that
        segments of any length are one program with equal results. `steps`, () int32, replaces the epoch's own number of
        steps and is traced too. With `batches`, () int32, it ends where so many were read since the very start, also within
        a period: then run_state holds the sums of the period begun. To go on from there a run needs `steps`; without it, a
        traced run_state stays as it is, with stop INTERRUPTED. `seconds` have gone by at its start, for
        `stopping.budget(seconds=...)`. `start_run` makes the first run_state. A run can be jitted, vmapped, or driven from
        the host by `segments`.

    >>> step = gd.make_step(lambda w, rows: jnp.mean((w - rows) ** 2))
    >>> run = gd.make_run(gd.make_epoch(step, batch_size=1, order="sequence"))
    >>> state, data = gd.make_state(0.0, gd.sgd(0.25)), jnp.array([1.0, 3.0])
    >>> run_state = gd.start_run(run, state, gd.stopping.never(), data, None)
    >>> print(jax.jit(run)(run_state, data, None, 2).state.params)
    2.1875
    """
    name, given_direction = monitor if isinstance(monitor, (tuple, list)) and len(monitor) == 2 else (monitor, None)
    if not isinstance(name, str):
        raise ValueError(f"make_run: monitor must be a name, or (name, 'min') or (name, 'max'), got {monitor!r}")
    if given_direction not in (None, "min", "max"):
        raise ValueError(f"make_run: the better direction in monitor must be 'min' or 'max', got {given_direction!r}")
    refresh = as_length("make_run", "refresh", refresh, least=0)
    if refresh and not isinstance(epoch.step.loss, Stateful):
        raise ValueError("make_run: refresh needs a loss with a model state, write stateful(loss), got one without")
    if evaluate is not None and epoch.placement is not None:
        evaluate = dataclasses.replace(evaluate, placement=epoch.placement)
    return Run(Period(epoch, evaluate, refresh), name, given_direction, keep_best)


@dataclasses.dataclass(frozen=True)
class Run:
    """What `make_run` returns."""

    period: Period
    monitor: str
    direction: str | None  # better direction of the monitored value, if given
    keep_best: bool = True

    @property
    def placement(self) -> Placement | None:
        """That of its epoch."""
        return self.period.epoch.placement

    def place(self, run_state: RunState) -> RunState:
        """The state at a door: where the placement says, so that nothing is compiled for another one. A history of the host
        stays there."""
        if self.placement is None:
            return run_state
        history = run_state.history
        rings = {name: x for name, x in history.items() if isinstance(x, jax.Array)}
        placed = self.placement.put(run_state._replace(history=rings), run_state.state.params)
        return placed._replace(history=history | placed.history)

    def pin(self, run_state: RunState) -> RunState:
        """In a program: the state where the placement says."""
        return run_state if self.placement is None else self.placement.pin(run_state, run_state.state.params)

    def compiled(self, donate: tuple[int, ...] = ()) -> Callable[..., RunState]:
        """The program of `compile_once`; the state stays where it was placed, also where an explicit mesh is set."""
        program = compile_once(self, donate)

        def call(*args: Any) -> RunState:
            with automatic_axes(self.placement):
                return program(*args)

        return call

    def __call__(
        self,
        run_state: RunState,
        data: Any,
        validation: Any,
        until: Any,
        seconds: Any = None,
        steps: Any = None,
        batches: Any = None,
    ) -> RunState:
        with error_context("make_run"):
            on_host = self.placement is not None
            data = self.period.epoch.place(as_rows("make_run", data, on_host))
            validation = as_rows("make_run", validation, on_host)
            for name, number in (("until", until), ("steps", steps), ("batches", batches)):
                as_length("make_run", name, 0 if number is None else number, least=0)
            if steps is None and (batches is not None or (is_concrete(run_state.taken) and run_state.taken > 0)):
                raise ValueError(
                    "make_run: to end or to go on within a period a run needs the argument steps, the batches of a period"
                )
            return on_automatic_axes(
                self._loop, state_alone, run_state, data, validation, until, seconds, steps, batches
            )

    def _loop(self, run_state, data, validation, until, seconds, steps, batches) -> RunState:
        self._check(run_state, self.shapes(run_state.state, data, validation, steps))
        if steps is None:  # else a period would be too long, and its means would lack the batches before
            within = (run_state.stop == Stop.RUNNING) & (run_state.taken > 0)
            run_state = run_state._replace(stop=jnp.where(within, Stop.INTERRUPTED, run_state.stop))
        finite_only = np.bool_(Stop.NON_FINITE in run_state.condition.declared("each_step"))

        def running(run_state: RunState) -> jax.Array:
            more = True if batches is None else run_state.state.batches < batches
            return (run_state.stop == Stop.RUNNING) & (run_state.evaluations < until) & more

        def advance(run_state: RunState) -> RunState:
            begun = run_state.state, run_state.taken, run_state.sums
            most = None if batches is None else batches - run_state.state.batches
            part = compile_once(self.period)(begun, data, validation, steps, most, finite_only)
            return self.pin(self._judge(run_state, part, seconds))

        return jax.lax.while_loop(running, advance, run_state)

    def _check(self, run_state: RunState, part: Part) -> None:
        """Raise ValueError for a run_state of a run that measures something else."""
        self.monitor_name(part.row)
        if other := part.row.keys() ^ run_state.history.keys():
            raise ValueError(f"make_run: run_state must be of a run that measures the same, got another {min(other)!r}")
        if not len(jax.tree.leaves(run_state.history)[0]):
            raise ValueError(
                "make_run: run_state must have room for the history, got none, as segments yields it before the first "
                "evaluation; write extend_history(run_state, 100)"
            )
        if [x.shape for x in run_state.sums] != [x.shape for x in part.sums]:
            raise ValueError("make_run: run_state must be of a run with metrics of the same shapes, got others")
        if bool(run_state.best) != self.keep_best:
            raise ValueError(
                f"make_run: run_state must be of a run with keep_best={self.keep_best}, got one of the other kind"
            )

    def shapes(self, state: TrainState, data: Any, validation: Any, steps: Any = None) -> Part:
        """The shapes and dtypes of a part of a period, of which a later call is not traced again."""
        sums = compile_once(bind(self.period.start)).eval_shape(state, data)
        most, none = None if steps is None else np.int32(0), np.int32(0)
        begun = state, none, sums
        return compile_once(self.period).eval_shape(begun, data, validation, steps, most, np.bool_(True))

    def monitor_name(self, row: Metrics) -> tuple[str, str]:
        """The name of the monitored metric in a history row, of validation data if any, and its better direction."""
        name = f"validation_{self.monitor}" if f"validation_{self.monitor}" in row else self.monitor
        if name not in row or jnp.ndim(row[name]) != 0:
            known = sorted(key for key, value in row.items() if jnp.ndim(value) == 0)
            raise ValueError(f"make_run: monitor must be a scalar metric, one of {known}, got {self.monitor!r}")
        direction = self.direction or self.period.directions.get(name)
        if direction is None:
            raise ValueError(
                f"make_run: the better direction must be given for a number that a loss reports; "
                f"write monitor=({self.monitor!r}, 'max') or monitor=({self.monitor!r}, 'min'), got {self.monitor!r} alone"
            )
        return name, direction

    def sign(self, row: Metrics) -> float:
        """The factor, 1 or -1, with which less of the monitored value is better."""
        return 1.0 if self.monitor_name(row)[1] == "min" else -1.0

    def _judge(self, last: RunState, part: Part, seconds: Any) -> RunState:
        """Add a part of a period; at its end the row of the history, the parameters to keep, and the condition's stop."""
        (name, _), sign, ended = self.monitor_name(part.row), self.sign(part.row), part.ended
        judged = ended & part.judged
        value = (sign * part.row[name]).astype(last.best_value.dtype)
        given = part.state.evaluation
        evaluation = tree.select(judged, Evaluation(value, tree.increment(given.count)), given)
        state = part.state._replace(evaluation=evaluation)
        row = part.row | rate_column(state)  # after the evaluation, by which a plateau scales the rate
        first_loss = jnp.where(jnp.isnan(last.first_loss), part.first_loss.astype(float), last.first_loss)
        observation = Observation(
            value=value,
            sign=sign,
            loss=row["loss"],
            change=row.get("change"),
            step=state.step,
            epoch=row["epoch"],
            seconds=None if seconds is None else jnp.asarray(seconds),
            first_loss=first_loss,
        )
        condition_state, stop = last.condition.update(last.condition_state, observation)
        current = evaluation_params(state), *(part.refreshed or (state.model_state,))
        keep = judged & (value < last.best_value if name.startswith("validation_") else _is_sound(stop, current))
        place = last.evaluations % jax.tree.leaves(last.history)[0].shape[0]
        rows = {name: (x, last.history[name][place]) for name, x in row.items()}
        return last._replace(
            state=state,
            taken=part.taken,
            sums=part.sums,
            best=jax.lax.cond(keep, lambda: current, lambda: last.best) if self.keep_best else (),
            best_value=jnp.where(keep, value, last.best_value),
            best_evaluation=jnp.where(keep, last.evaluations, last.best_evaluation),
            condition_state=tree.select(judged, condition_state, last.condition_state),
            evaluations=last.evaluations + ended,
            history={name: last.history[name].at[place].set(jnp.where(ended, *both)) for name, both in rows.items()},
            first_loss=first_loss,
            stop=jnp.where(judged, stop, last.stop),
        )


def _is_sound(stop: jax.Array, current: Any) -> jax.Array:
    """Whether the last parameters may be kept: the run has not diverged, and all of them are finite."""
    finite = [jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(current) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return (stop != Stop.DIVERGED) & (stop != Stop.NON_FINITE) & jnp.all(jnp.stack(finite))


def start_run(
    run: Run,
    state: TrainState,
    condition: Condition,
    data: Any,
    validation: Any,
    capacity: int = RING,
    steps: Any = None,
) -> RunState:
    """The RunState before the first period. It may be donated, and every leaf but those of `state` is its own.

    Args:
        run: a run of `make_run`.
        state: a TrainState, as `make_state` returns. It is not copied: `segments(..., keep=False)`, which donates the
            RunState, leaves nothing of it either.
        condition: a stopping condition of `gdjax.stopping`; its numbers become arrays, so that another patience compiles
            nothing.
        data, validation: the data of the later calls of `run`; validation may be None.
        capacity: rows of the history, at least 1; it keeps the last evaluations, evaluation i in row i % capacity. It is a
            shape, so another capacity compiles; `segments` copies the rows to the host in time.
        steps: the argument `steps` of the later calls of `run`.

    Raises: ValueError unless capacity is a whole number that is at least 1.

    >>> step = gd.make_step(lambda w, rows: jnp.mean((w - rows) ** 2))
    >>> run = gd.make_run(gd.make_epoch(step, batch_size=1, order="sequence"))
    >>> state, data = gd.make_state(0.0, gd.sgd(0.25)), jnp.array([1.0, 3.0])
    >>> run_state = gd.start_run(run, state, gd.stopping.never(), data, None)
    >>> print(run_state.evaluations, run_state.state.params)
    0 0.0
    """
    capacity = as_length("start_run", "capacity", capacity)
    condition = condition.canonicalize()
    with error_context("start_run"):
        data = as_data("start_run", data, run.placement, once=True)
        validation = as_validation("start_run", validation, run.placement)
        if isinstance(data, Feed):
            data, steps = data.template(run.period.epoch), np.int32(1)
        part = run.shapes(state, data, validation, steps)
        run.monitor_name(part.row)  # raises for an unknown monitor
    first = compile_once(bind(_without_state, run.keep_best, part.row, part.sums, capacity))
    unknown = {"best_value": jnp.array(np.inf, dtype=float), "first_loss": jnp.array(np.nan, dtype=float)}
    return run.place(first(state, condition)._replace(state=state, **unknown))


def _without_state(*args: Any) -> RunState:
    """The first state but for what is there already, and for what JAX_DEBUG_NANS would not let a program return."""
    return first_run_state(*args)._replace(state=(), best_value=(), first_loss=())  # type: ignore[arg-type]


def first_run_state(
    keep_best: bool, row: Metrics, sums: Sums, capacity: int, state: TrainState, condition: Condition
) -> RunState:
    """As `start_run`, of arguments that are checked: it may be traced. `row` and `sums` are those of a period, or shapes."""
    none_yet = np.zeros((), np.int32)
    return RunState(
        state=state,
        taken=jnp.array(none_yet),
        sums=empty(sums),
        best=tree.distinct_copy((evaluation_params(state), state.model_state)) if keep_best else (),
        best_value=jnp.array(np.inf, dtype=float),
        best_evaluation=jnp.array(none_yet - 1),
        condition=condition,
        condition_state=tree.distinct_copy(condition.init()),
        evaluations=jnp.array(none_yet),
        history={name: jnp.zeros((capacity, *x.shape), x.dtype) for name, x in row.items()},
        first_loss=jnp.array(np.nan, dtype=float),
        stop=jnp.array(none_yet),
    )


def extend_history(run_state: RunState, capacity: int) -> RunState:
    """The same run with a history of `capacity` rows, which keeps those it has; on the host, between segments."""
    capacity, done = as_length("extend_history", "capacity", capacity), int(run_state.evaluations)

    def extend(x: jax.Array) -> jax.Array:
        room = max(capacity, x.shape[0])
        kept = np.arange(max(0, done - x.shape[0]), done)
        return jnp.zeros((room, *x.shape[1:]), x.dtype).at[kept % room].set(jnp.asarray(x)[kept % x.shape[0]])

    return run_state._replace(history={name: extend(x) for name, x in run_state.history.items()})
