"""The vocabulary: the values that travel between the rungs of the ladder.

    make_step   (TrainState, batch) -> (TrainState, metrics)
    make_epoch  (TrainState, data)  -> (TrainState, metrics)
    make_run    (RunState, data, validation, until) -> RunState

All are NamedTuples of arrays, so that each may cross `jit`, be carried by `scan`, stacked by `vmap`, or saved.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import optax
from jax.typing import DTypeLike as DTypeLike  # noqa: PLC0414 ("bfloat16", jnp.float32; public here, too)

from gdjax.calls import Optimizer
from gdjax.forms import as_loss  # noqa: F401 (beside its protocol)

Params: TypeAlias = Any  # any pytree
ArrayLike: TypeAlias = float | jax.Array  # a number, of Python or as an array
ScalarOrSchedule: TypeAlias = ArrayLike | Callable[[Any], Any]  # or a function of the step
PRNGKey: TypeAlias = jax.Array | int  # a random key, or the integer that it is made from
Transformation: TypeAlias = optax.GradientTransformation  # an optimizer of ours or Optax's
Batch: TypeAlias = Any  # any pytree whose leaves share their leading axis
Metrics: TypeAlias = dict[str, Any]  # name -> array, or Sampled before the mean is taken
Transition: TypeAlias = Callable[[Any, Any], tuple[Any, Any]]  # (state, x) -> (state, metrics), what scan eats


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
    STALLED = 8  # steps that change nothing


class LossFn(Protocol):
    """(params, batch, key) -> (scalar, metrics): what `as_loss` makes of a loss in any form. Random only if a key is given.

    One that also takes `mask=` (what `per_example` returns) is handed a ragged tail masked.
    """

    def __call__(self, params: Params, batch: Batch, key: jax.Array | None) -> tuple[jax.Array, Metrics]: ...


class Probe(Protocol):
    """(state, objective, grads, updates, mask) -> metrics: what is seen of a step, `Sampled` where not of every one."""

    def __call__(
        self, state: TrainState, objective: Callable[..., Any], grads: Params, updates: Params, mask: Any = None
    ) -> Metrics: ...


class Updating(Protocol):
    """A state whose optimizer does not make an update at every call."""

    def updated(self) -> Any:
        """Whether the last call made one, () bool."""
        ...


class Averaging(Protocol):
    """A state that knows better parameters than those trained."""

    is_average: bool  # a mean of the parameters walked is asked before any other that answers (False if it is missing)

    def evaluation_params(self, params: Params) -> Params:
        """They, from the parameters trained, in their dtypes."""
        ...


class Routing(Protocol):
    """A state that shows its inner one other parameters, or lets no answer pass as it is."""

    def route(self, ask: Callable[[Any, Params], list[Any]], params: Params) -> list[Any]:
        """The answer for each leaf of params, None where there is none; `ask(state, params)` asks an inner state."""
        ...


class OptState(NamedTuple):
    """`slots` maps the equation's symbols to trees like the parameters."""

    count: jax.Array | None  # updates so far, () int32; None where neither the rule nor a schedule asks
    slots: dict[str, Any]


class Sampled(NamedTuple):
    """A metric that is measured at some steps only: its mean is over those, NaN where there are none."""

    value: jax.Array  # 0 where it was not taken
    taken: jax.Array  # 1 or 0


class Evaluation(NamedTuple):
    """The monitored value of the last evaluation, oriented so that less is better, and how many there were."""

    value: jax.Array
    count: jax.Array


class TrainState(NamedTuple):
    """All that a step needs: a run stopped here goes on as if it never had."""

    step: jax.Array  # updates applied, () int32: none at a batch that was accumulated or skipped
    batches: jax.Array  # batches consumed, () int32: batch i is a pure function of (key, i)
    params: Params
    model_state: Any  # what a `stateful` loss carries, e.g. batch statistics; else ()
    opt_state: Any
    optimizer: Optimizer
    evaluation: Evaluation
    key: jax.Array


class Observation(NamedTuple):
    """What a stopping condition sees after each evaluation; None is what this kind of run does not measure."""

    value: jax.Array  # the monitored value, turned so that less is better
    sign: float  # 1, or -1 where the value was turned
    loss: jax.Array  # mean training loss since the last evaluation
    change: jax.Array  # mean |change of the loss over a batch by its own step|; NaN unless the step measures it
    step: jax.Array  # updates applied
    epoch: jax.Array  # epochs completed
    seconds: jax.Array  # wall clock at the start of the compiled segment
    grad_norm: jax.Array | None = None  # of the gradient at these parameters
    step_norm: jax.Array | None = None  # norm of the last step; infinite before the first
    converged: jax.Array | None = None  # () bool: the optimizer's own verdict on where its last update began
    first_loss: jax.Array | None = None  # of the run's first batch, before any step


class RunState(NamedTuple):
    """What a run carries, a checkpoint holds, a sweep stacks; a finished one is the result."""

    state: TrainState
    best: tuple[Params, Any]  # (params, model_state) kept: of the best evaluation on validation data; without, the last
    best_value: jax.Array  # the monitored value at that evaluation; less is better
    best_evaluation: jax.Array  # its number, -1 before the first
    condition: Any  # the stopping condition, a node: its numbers are leaves
    condition_state: Any
    evaluations: jax.Array  # done so far, () int32
    history: dict[str, jax.Array]  # name -> (capacity,), a ring: evaluation i is in row i % capacity
    first_loss: jax.Array  # of the first batch, before any step; NaN before it is known
    stop: jax.Array  # a Stop, () int32
