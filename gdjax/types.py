"""The vocabulary: the values that are passed between steps, epochs and runs, and the protocols between modules.

    make_step   (TrainState, batch) -> (TrainState, metrics)
    make_epoch  (TrainState, data)  -> (TrainState, metrics)
    make_run    (RunState, data, validation, until) -> RunState

All are NamedTuples of arrays, so that each can be passed to `jit`, carried by `scan`, stacked by `vmap`, or saved.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import optax
from jax.typing import DTypeLike as DTypeLike  # noqa: PLC0414 (exported)

from gdjax.calls import Optimizer
from gdjax.forms import as_loss  # noqa: F401 (beside its protocol)
from gdjax.measures import as_metric  # noqa: F401 (likewise)

Params: TypeAlias = Any  # any pytree
ArrayLike: TypeAlias = float | jax.Array  # a number, of Python or as an array
ScalarOrSchedule: TypeAlias = ArrayLike | Callable[[Any], Any]  # or a function of the step
PRNGKey: TypeAlias = jax.Array | int  # a random key, or the integer that it is made from
Transformation: TypeAlias = optax.GradientTransformation  # an optimizer of ours or Optax's
Batch: TypeAlias = Any  # any pytree whose leaves share their leading axis
Metrics: TypeAlias = dict[str, Any]  # name -> array, or Sampled before the mean is taken
Transition: TypeAlias = Callable[[Any, Any], tuple[Any, Any]]  # (state, x) -> (state, metrics), the body of a scan


class Stop(enum.IntEnum):
    """Why a run ended; stored as int32."""

    RUNNING = 0
    CONVERGED = 1
    PATIENCE = 2
    TARGET = 3
    BUDGET = 4
    DIVERGED = 5
    NON_FINITE = 6
    INTERRUPTED = 7
    STALLED = 8  # the steps no longer change the parameters
    EXHAUSTED = 9  # the data, an iterator, have ended


class Padded(NamedTuple):
    """A sequence with padding, whose length is that of the longest beside it.

    Every layer of sequences takes one in place of an array and hands its mask on, so that it reaches the loss (`per_token`).
    What is at a padded position has no influence, not even if it is NaN; padding may be at either end, or between.

    values: (..., time, features), or (..., time) of tokens.
    mask: (..., time) bool, true where a position counts.
    """

    values: Any
    mask: Any

    def __jax_array__(self) -> jax.Array:
        """For layers that take only arrays. Raises: TypeError."""
        raise TypeError(
            "a sequence with padding was given to what takes an array; layers of sequences and those of single positions "
            "take it, and the loss per_token"
        )


class LossFn(Protocol):
    """(params, batch, key) -> (scalar, metrics): the form to which `as_loss` converts a loss. It is random only with a key.

    A loss that also takes `mask=` (as those of `per_example` do) receives a ragged last batch with a mask.
    """

    def __call__(self, params: Params, batch: Batch, key: jax.Array | None) -> tuple[jax.Array, Metrics]: ...


class Measure(Protocol):
    """A metric, as returned by `as_metric`; its result does not depend on how the rows are split into chunks."""

    better: str | None  # "min" or "max"; None if unknown

    def measure(self, prediction: Any, target: Any, weight: jax.Array) -> Any:
        """The statistics of these rows that the result needs, a pytree of arrays."""
        ...

    def result(self, stats: Any) -> jax.Array:
        """The value, from the statistics of all chunks stacked along a new first axis."""
        ...


class Probe(Protocol):
    """(state, objective, grads, updates, mask) -> metrics of one step; `Sampled` if they are not measured at every step."""

    def __call__(
        self, state: TrainState, objective: Callable[..., Any], grads: Params, updates: Params, mask: Any = None
    ) -> Metrics: ...


@runtime_checkable
class Source(Protocol):
    """Data that are not arrays in memory: rows on disk, in a database, or computed, which are read by their numbers."""

    def rows(self, indices: Any) -> Batch:
        """The rows of these numbers, (k,) integers, a pytree of arrays (k, ...) in their order."""
        ...

    def __len__(self) -> int:
        """The number of rows."""
        ...


class Updating(Protocol):
    """The state of an optimizer that does not make an update at every call."""

    def updated(self) -> Any:
        """Whether the last call made an update, () bool."""
        ...


class Skipping(Updating, Protocol):
    """The state of an optimizer that skips the updates whose gradient is not finite."""

    skipped: jax.Array  # updates skipped so far, () int32


class Accumulating(Updating, Protocol):
    """The state of an optimizer that takes several gradients for an update."""

    def waiting(self) -> jax.Array:
        """The gradients that no update has used yet, () int32."""
        ...


class LossScaling(Updating, Protocol):
    """The state of an optimizer that asks for a larger loss, so that no gradient is too small for 16 bits."""

    loss_scale: jax.Array  # () float32, a step multiplies the loss by it and divides the gradient


class Averaging(Protocol):
    """A state that gives other parameters for evaluation than those that are trained."""

    is_average: bool  # whether they are a mean of the iterates, which takes precedence (False if missing)

    def evaluation_params(self, params: Params) -> Params:
        """The parameters to evaluate, computed from the trained ones, in their dtypes."""
        ...


class Routing(Protocol):
    """A state whose inner optimizer works on other parameters, so that its answers must be converted."""

    def route(self, ask: Callable[[Any, Params], list[Any]], params: Params) -> list[Any]:
        """The answer for each leaf of params, or None; `ask(state, params)` gives the answers of an inner state."""
        ...


class OptState(NamedTuple):
    """`slots` maps the equation's symbols to trees like the parameters."""

    count: jax.Array | None  # updates so far, () int32; None where neither the rule nor a schedule reads it
    slots: dict[str, Any]


class Sampled(NamedTuple):
    """A metric that is measured at some steps only: its mean is over those steps, and NaN if there are none."""

    value: jax.Array  # 0 where it was not measured
    taken: jax.Array  # 1 where it was measured, else 0


class Sums(NamedTuple):
    """The compensated sums of a period's metrics over the batches read, as one vector, and the range of the rate."""

    total: jax.Array
    lost: jax.Array  # by rounding
    rates: jax.Array  # the lowest and the highest learning rate, (2,); (0,) where no schedule sets it


class Evaluation(NamedTuple):
    """The monitored value of the last evaluation, signed so that less is better, and the number of evaluations."""

    value: jax.Array
    count: jax.Array


class TrainState(NamedTuple):
    """All that a step needs: a run that is stopped and resumed here equals one that never stopped."""

    step: jax.Array  # updates applied, () int32; a batch that is accumulated or skipped applies none
    batches: jax.Array  # batches read, () int32; batch i is a pure function of (key, i)
    params: Params
    model_state: Any  # what a `stateful` loss carries, e.g. batch statistics; else ()
    opt_state: Any
    optimizer: Optimizer
    evaluation: Evaluation
    key: jax.Array


class Observation(NamedTuple):
    """The input of a stopping condition after each evaluation; None stands for what this kind of run does not measure."""

    value: jax.Array  # the monitored value, signed so that less is better
    sign: float  # -1 if the monitored value was negated, else 1
    loss: jax.Array  # mean training loss since the last evaluation
    change: jax.Array | None  # mean of |change of a batch's loss by its own step|
    step: jax.Array  # updates applied
    epoch: jax.Array  # epochs completed
    seconds: jax.Array | None  # wall clock at the start of the compiled segment
    grad_norm: jax.Array | None = None  # norm of the gradient at these parameters
    step_norm: jax.Array | None = None  # norm of the last step; infinite before the first
    converged: jax.Array | None = None  # () bool: whether the optimizer's own test held where its last update began
    first_loss: jax.Array | None = None  # loss of the run's first batch, before any step


class RunState(NamedTuple):
    """The whole state of a run: what its loop carries and a checkpoint holds."""

    state: TrainState
    taken: jax.Array  # batches read since the last evaluation, () int32
    sums: Sums  # of their metrics
    best: (
        tuple[()] | tuple[Params, Any]
    )  # (params, model_state) of the best evaluation (without validation data, the last)
    best_value: jax.Array  # the monitored value at that evaluation; less is better
    best_evaluation: jax.Array  # its number, -1 before the first
    condition: Any  # the stopping condition, a node: its numbers are leaves
    condition_state: Any
    evaluations: jax.Array  # number so far, () int32
    history: dict[str, jax.Array]  # name -> (capacity,), a ring: evaluation i is in row i % capacity
    first_loss: jax.Array  # loss of the first batch, before any step; NaN before it is known
    stop: jax.Array  # a Stop, () int32
