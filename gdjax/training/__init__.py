"""Training: a step, scanned into an epoch, looped into a run, driven by the host. Each of them can be used alone.

    step  = make_step(loss)                (TrainState, batch) -> (TrainState, metrics)
    epoch = make_epoch(step, batch_size=64)   (TrainState, data) -> (TrainState, metrics), one scan
    run   = make_run(epoch, evaluate)         (RunState, data, validation, until) -> RunState, one while-loop
    for state, metrics in iterate(epoch, state, data): ...
    for run_state in segments(run, run_state, data, validation, until=100): ...
    result = fit(loss, params, optimizer, data, validation)
    failure = find_failure(run, run_state, data, validation, batches=n)   the step before which all was finite
    save_run(path, run_state);  run_state = load_run(path, run_state);  Checkpoints(folder).save(run_state)

No optimizer, model, loss or metric is imported here: the user's program combines them.
"""

from typing import TYPE_CHECKING

from gdjax.first_touch import import_on_first_touch
from gdjax.training._fit import Fitting, Length, fit
from gdjax.training._memory import Memory, memory
from gdjax.training._placement import Placement, placement
from gdjax.training._segments import segments
from gdjax.training.collectives import Collective, find_collectives
from gdjax.training.epoch import Epoch, iterate, make_epoch
from gdjax.training.evaluate import Evaluate, make_evaluate
from gdjax.training.explanation import Explanation, explain_placement
from gdjax.training.result import Result, summarize
from gdjax.training.run import Run, extend_history, make_run, start_run
from gdjax.training.statistics import refresh_model_state
from gdjax.training.step import Step, evaluation_params, learning_rate, make_state, make_step

if TYPE_CHECKING:
    from gdjax.training.checkpoint import load_run, save_run
    from gdjax.training.checkpoints import Checkpoints
    from gdjax.training.failure import Failure, find_failure
    from gdjax.training.manifest import CheckpointError

__all__ = [
    "CheckpointError",
    "Checkpoints",
    "Collective",
    "Epoch",
    "Evaluate",
    "Explanation",
    "Failure",
    "Fitting",
    "Length",
    "Memory",
    "Placement",
    "Result",
    "Run",
    "Step",
    "evaluation_params",
    "explain_placement",
    "extend_history",
    "find_collectives",
    "find_failure",
    "fit",
    "iterate",
    "learning_rate",
    "load_run",
    "make_epoch",
    "make_evaluate",
    "make_run",
    "make_state",
    "make_step",
    "memory",
    "placement",
    "refresh_model_state",
    "save_run",
    "segments",
    "start_run",
    "summarize",
]

ON_FIRST_TOUCH = import_on_first_touch(__name__)
