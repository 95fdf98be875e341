"""The rows a run is judged by, and what a model says of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from gdjax.runs.prediction import decide
from gdjax.runs.scores import SMALLEST
from gdjax.tables.cells import cells_of, needs

if TYPE_CHECKING:
    from gdjax.runs.folder import LoadedRun
    from gdjax.runs.options import TrainOptions
    from gdjax.runs.work import Work


@dataclasses.dataclass(frozen=True, eq=False)
class Cases:
    """The test rows whose target is known and whose cells can be read.

    Args:
        rows: their positions in the table.
        x: (n, d) their features.
        y: (n,) numbers in the units of the file, or labels.
        groups: (n,) of rows that are not independent of each other; None if all are.
        left: the number of test rows that are not among them.
    """

    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray
    groups: np.ndarray | None
    left: int


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a model says of the cases.

    Args:
        name: of the model.
        predicted: (n,) numbers or labels.
        probabilities: (n, C); of no columns where the model has none.
        scores: (n, C) of classes, larger for a likelier one; of no columns for numbers.
        how: more of the model, in a few words.
    """

    name: str
    predicted: np.ndarray
    probabilities: np.ndarray
    scores: np.ndarray
    how: str = ""

    def losses(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """The losses of each case, (n,) each: log loss and error of a class, square and size of a number's error."""
        if self.scores.shape[1] == 0:
            error = self.predicted - y
            return {"square": error**2, "absolute": np.abs(error)}
        wrong = {"error": (self.predicted != y).astype(float)}
        if not self.probabilities.shape[1]:
            return wrong
        own = self.probabilities[np.arange(len(y)), y]
        return {"log_loss": -np.log(np.maximum(own, SMALLEST)), **wrong}


def cases_of(work: Work, options: TrainOptions) -> Cases:
    """The test rows of a run that can be judged."""
    problem, rows = work.problem, work.problem.rows.test
    x = np.asarray(work.parts.test[0]).astype(np.float32)  # which all features are
    y = problem.y[rows]
    good = np.isfinite(x).all(axis=1) & (y >= 0 if work.subject.classes else np.isfinite(y))
    y = y[good].astype(np.int32 if work.subject.classes else np.float64)
    return Cases(rows[good], x[good], y, _groups(work, options, rows[good]), int((~good).sum()))


def _groups(work: Work, options: TrainOptions, rows: np.ndarray) -> np.ndarray | None:
    """The groups of rows, or those of exact copies; None if each row is alone."""
    frame, copies, groups = work.problem.table.frame, work.problem.understanding.copies, None
    if options.group is not None and options.group in frame:
        groups = needs("pandas").factorize(cells_of(frame, options.group).iloc[rows], use_na_sentinel=False)[0]
    elif copies is not None and rows.max(initial=-1) < len(copies):  # and not those of a test file
        groups = copies[rows]
    return groups if groups is not None and len(np.unique(groups)) < len(rows) else None


def outcome_of(run: LoadedRun, x: Any, name: str = "this run") -> Outcome:
    """What the run says of rows of features."""
    outputs = run.outputs(x)
    if not run.config.data.target_names:
        return of_numbers(name, outputs)
    labels, probabilities = decide(run.config, outputs)
    scores = np.stack([-outputs, outputs], axis=-1) if outputs.ndim == 1 else outputs
    return Outcome(name, labels, probabilities, probabilities if probabilities.shape[1] else scores)


def of_numbers(name: str, predicted: np.ndarray, how: str = "") -> Outcome:
    none = np.zeros((len(predicted), 0))
    return Outcome(name, predicted, none, none, how)


def of_probabilities(name: str, table: np.ndarray, threshold: float | None, how: str = "") -> Outcome:
    """The outcome of probabilities (n, C), by the rule of a run: the likeliest class, or the second from a threshold on."""
    labels = table.argmax(axis=1) if threshold is None else (table[:, 1] >= threshold).astype(int)
    return Outcome(name, labels, table, table, how)
