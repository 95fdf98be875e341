"""The result of a run: a finished RunState whose parts have names."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from gdjax import tree
from gdjax.drawing import load_plots
from gdjax.text import html_table
from gdjax.training._segments import History
from gdjax.training.period import RANGE
from gdjax.training.run import Run
from gdjax.training.step import evaluation_params
from gdjax.types import Params, RunState, Stop, TrainState


@dataclasses.dataclass(frozen=True, repr=False)
class Result:
    """The result of a run.

    `params` are the parameters of the best evaluation on validation data. Without validation data they are the last ones
    (the last finite ones, if the run diverged), since the mean loss of an epoch does not tell which parameters were best.
    `best_value` is the monitored value at the evaluation whose parameters are kept. The run can be continued from
    `run_state`; `last` is the TrainState in it. `history` maps each metric to its values at all evaluations, and `remarks`
    are warnings about the run. `data_state` is the position of a loader that says where it stands. `str(result)` is a
    summary in a sentence.
    """

    stop: Stop
    params: Params
    model_state: Any
    run_state: RunState
    history: dict[str, np.ndarray]
    monitor: str
    best_value: float
    best_evaluation: int
    steps: int
    epochs: float
    seconds: float
    compile_seconds: float
    remarks: tuple[str, ...] = ()
    data_state: Any = None

    @property
    def last(self) -> TrainState:
        """The TrainState at the end."""
        return self.run_state.state

    def __repr__(self) -> str:
        return (
            f"Result(stop={self.stop.name}, epochs={self.epochs:g}, steps={self.steps}, {self.monitor}="
            f"{self.best_value:.5g} at evaluation {self.best_evaluation})"
        )

    def __str__(self) -> str:
        took = f"{self.seconds:.2f} s and {self.compile_seconds:.2f} s of compiling"
        ended = f"{self.stop.name} after {self.epochs:g} epochs ({self.steps} steps, {took})"
        return "; ".join((ended, self._describe_params(), *self.remarks))

    def _describe_params(self) -> str:
        """A phrase that says which parameters were kept."""
        number, epochs, taken = self.best_evaluation, self.history["epoch"], int(self.run_state.taken)
        left = number >= 0 and np.isnan(epochs[number])  # the history, before the host read it
        where = f"evaluation {number}" if left else f"epoch {epochs[number]:g}" if number >= 0 else ""
        if self.monitor.startswith("validation "):
            if number < 0:
                why = "no evaluation was finite" if len(epochs) else "there was no evaluation"
                return f"{why}, the parameters are the {'first' if self.run_state.best else 'last'}"
            kept = "whose parameters are kept" if self.run_state.best else "the parameters are the last"
            return f"best {self.monitor} {self.best_value:.5g} at {where}, {kept}"
        if taken:
            return f"the parameters are the last, {taken} batches into a period"
        if number < 0:
            wrong = self.stop in (Stop.NON_FINITE, Stop.DIVERGED)
            why = "it went wrong before the first evaluation" if wrong else "no evaluation was finite"
            return f"{why}, the parameters are the {'first' if self.run_state.best else 'last'}"
        span = epochs[number] - (epochs[number - 1] if number else 0)
        over = "the last epoch" if math.isclose(span, 1, rel_tol=1e-3) else f"the last {span:.3g} epochs"
        over = "the last period" if np.isnan(span) else over
        if number == len(epochs) - 1:
            return f"{self.monitor} {self.best_value:.5g}, the mean over {over}, whose last parameters are kept"
        measured = f"{self.monitor} {self.best_value:.5g}, the mean over {over} up to {where}"
        if not self.run_state.best:
            return f"{measured}: the run went wrong after it, the parameters are the last"
        return f"{measured}, whose last parameters are kept: the run went wrong after it"

    def _repr_html_(self) -> str:
        """In a notebook: its numbers as a table, and the sentence."""
        head = ["stop", "epochs", "steps", self.monitor, "seconds", "of compiling"]
        row = [self.stop.name, f"{self.epochs:g}", str(self.steps), f"{self.best_value:.5g}"]
        row += [f"{self.seconds:.2f}", f"{self.compile_seconds:.2f}"]
        return html_table([head, row], below="\n".join((self._describe_params(), *self.remarks)))

    def plot(self, **options: Any) -> Any:
        """Loss, metric and learning rate over the epochs.

        Args:
            options: of `gdjax.plots.curves` (title, metric, loss_label).

        Raises: ImportError that says what to install, where matplotlib is missing.
        """
        return load_plots().picture(self, **options)


def summarize(run: Run, run_state: RunState, seconds: float = 0.0, compile_seconds: float = 0.0) -> Result:
    """The Result of the last RunState of `segments` or of a run; the stop of a run that no condition ended is BUDGET.

    The history has a row for every evaluation, NaN (0 of a whole number) where the ring of a run had been overwritten.
    """
    stop = Stop(int(run_state.stop))
    history = History(run_state).rows()
    if np.isnan(history.get("learning_rate", [])).all():  # the rates of the leaves always differed
        history = {name: column for name, column in history.items() if name not in ("learning_rate", *RANGE)}
    name, _ = run.monitor_name(shapes_of(history))
    on_validation = name.startswith("validation_")
    params, model_state = _kept(run_state, on_validation)
    return Result(
        stop=Stop.BUDGET if stop == Stop.RUNNING else stop,
        params=tree.whole(params),
        model_state=tree.whole(model_state),
        run_state=run_state,
        history=history,
        monitor=f"{'validation' if on_validation else 'training'} {name.removeprefix('validation_')}",
        best_value=run.sign(shapes_of(history)) * float(run_state.best_value),
        best_evaluation=int(run_state.best_evaluation),
        steps=int(run_state.state.step),
        epochs=_epochs(run_state, history),
        seconds=seconds,
        compile_seconds=compile_seconds,
    )


def _kept(run_state: RunState, on_validation: bool) -> tuple[Params, Any]:
    """The parameters to keep and their model state: the best; without validation data the last finite ones."""
    state = run_state.state
    last = evaluation_params(state), state.model_state
    within = not on_validation and int(run_state.taken) > 0 and bool(tree.all_finite(state.params))
    return last if within else run_state.best or last


def _epochs(run_state: RunState, history: dict[str, np.ndarray]) -> float:
    """Epochs done: at the last evaluation, and as many more as there were batches since."""
    if not len(history["epoch"]):
        return 0.0
    batches, taken = int(run_state.state.batches), int(run_state.taken)
    return float(history["epoch"][-1]) * (batches / (batches - taken) if taken else 1)


def shapes_of(history: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """name -> ShapeDtypeStruct of one row of the history."""
    return {name: np.zeros(x.shape[1:]) for name, x in history.items()}
