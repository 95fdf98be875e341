"""Resuming a run: the state of a result, with the numbers of the present call."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.calls import Condition, Optimizer, as_optimizer
from gdjax.training.period import Part
from gdjax.training.sums import empty
from gdjax.types import Params, RunState, Stop, Sums


def resume_state(run_state: Any, params: Params, optimizer: Any, condition: Condition, part: Part) -> RunState:
    """A copy of run_state to continue from, with the numbers of this optimizer and this condition.

    An optimizer of another structure must have a state of the same shapes. A condition of another structure starts with a
    new state; the condition that has ended the run can continue only with other numbers.

    Args:
        part: the shapes of a part of a period of this call.

    Raises: TypeError if run_state is no result; ValueError if parameters, optimizer or history do not fit it.
    """
    if not isinstance(run_state, RunState):
        raise TypeError(
            f"fit: resume must be what fit returns, or a RunState (result.run_state, or one of segments), got a "
            f"{type(run_state).__name__}"
        )
    tree.check_like("fit", "params", tree.part(params), "those of resume", run_state.state.params)
    missing = sorted(part.row.keys() ^ run_state.history.keys())
    if missing:
        raise ValueError(
            f"fit: a run that is resumed must measure what it did (validation, evaluate, stop), got another {missing[0]!r}"
        )
    run_state = run_state._replace(sums=_sums(run_state, part.sums))
    history = {k: tree.distinct_copy(x) if isinstance(x, jax.Array) else x for k, x in run_state.history.items()}
    copy = tree.distinct_copy(run_state._replace(history={}))._replace(history=history)
    optimizer = _optimizer(as_optimizer(optimizer).canonicalize(), copy)
    condition = condition.canonicalize()
    if jax.tree.structure(condition) != jax.tree.structure(copy.condition):
        copy = copy._replace(condition_state=tree.distinct_copy(condition.init()))
    goes_on = int(copy.stop) in (Stop.INTERRUPTED, Stop.EXHAUSTED) or condition != copy.condition
    stop = jnp.array(np.int32(Stop.RUNNING)) if goes_on else copy.stop
    return copy._replace(state=copy.state._replace(optimizer=optimizer), condition=condition, stop=stop)


def params_of(resume: Any, params: Params) -> Params:
    """The parameters that a run begins with: those of `resume`, a Result or its RunState, if it is given."""
    given = getattr(resume, "run_state", resume)
    return given.state.params if isinstance(given, RunState) else params


def _sums(run_state: RunState, like: Sums) -> Sums:
    """The sums of the period begun, or those of none in the shapes of this call."""
    if [x.shape for x in run_state.sums] == [x.shape for x in like]:
        return run_state.sums
    if int(run_state.taken):
        raise ValueError(
            "fit: a run that is resumed within a period must measure what it did, got metrics of other shapes than those "
            "whose sums it holds"
        )
    return empty(like)


def _optimizer(optimizer: Optimizer, run_state: RunState) -> Optimizer:
    state = run_state.state
    if jax.tree.structure(optimizer) == jax.tree.structure(state.optimizer):
        return optimizer
    shapes = lambda x: jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), x)  # noqa: E731
    fresh = jax.eval_shape(optimizer.init, state.params)
    if shapes(fresh) != shapes(state.opt_state):
        raise ValueError(
            f"fit: the optimizer must be that of the run that is resumed, {state.optimizer!r}, or keep a state like it, got "
            f"{optimizer!r}"
        )
    return optimizer
