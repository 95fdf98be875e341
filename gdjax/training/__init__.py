"""The ladder: a step, scanned into an epoch, looped into a run, driven by fit. Each rung is usable alone.

    step  = make_step(loss_fn)                (TrainState, batch) -> (TrainState, metrics)
    epoch = make_epoch(step, batch_size=64)   (TrainState, data) -> (TrainState, metrics), one scan
    run   = make_run(epoch, evaluate)         (RunState, data, validation, until) -> RunState, one while-loop
    for state, metrics in iterate(epoch, state, data): ...
    result = fit(loss_fn, params, optimizer, data, validation)

No optimizer, model or loss is imported here beyond the marks that losses carry: they meet in the user's own file.
"""

from gdjax.training.epoch import Epoch, iterate, make_epoch
from gdjax.training.evaluate import Evaluate, make_evaluate
from gdjax.training.fitting import Result, fit
from gdjax.training.run import Run, extend_history, make_run, start_run
from gdjax.training.step import Step, evaluation_params, learning_rate, make_state, make_step
