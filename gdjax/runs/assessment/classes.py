"""How good a classification is: each class, the area under the curve, calibration, and what is confused."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from gdjax.runs.assessment.calibration import Reliability, reliability
from gdjax.runs.assessment.outcome import Cases, Outcome
from gdjax.runs.assessment.ranking import areas
from gdjax.runs.assessment.resampling import Estimate

MOST_PAIRS = 20
MOST_CELLS = 30  # classes of a confusion matrix that result.json holds


@dataclasses.dataclass(frozen=True)
class OfClass:
    """The scores of a class: NaN where no row is predicted so (precision) or is so (recall)."""

    name: str
    rows: int
    predicted: int
    precision: float
    recall: float
    f1: float
    auc: Estimate

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "auc": self.auc.to_json()}


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Rows of one class that are predicted as another."""

    true: str
    predicted: str
    rows: int
    share: float  # of the rows of the true class


@dataclasses.dataclass(frozen=True, eq=False)
class OfClasses:
    """The scores of a classification.

    Args:
        auc: the mean over the classes, each against the rest.
        classes: in the order of the labels.
        confused: the most frequent errors.
        calibration: None where the model has no probabilities.
        counts: (C, C), true by predicted.
    """

    auc: Estimate
    classes: tuple[OfClass, ...]
    confused: tuple[Confusion, ...]
    calibration: Reliability | None
    counts: np.ndarray

    def to_json(self) -> dict[str, Any]:
        said = {
            "auc": self.auc.to_json(),
            "classes": [each.to_json() for each in self.classes],
            "most_confused": [vars(each) for each in self.confused],
        }
        said |= {} if self.calibration is None else {"calibration": self.calibration.to_json()}
        return said | ({"confusion": self.counts} if len(self.counts) <= MOST_CELLS else {})


def of_classes(cases: Cases, outcome: Outcome, names: Sequence[str], seed: int) -> OfClasses:
    """The scores of the run's outcome."""
    counts = np.bincount(cases.y * len(names) + outcome.predicted, minlength=len(names) ** 2)
    counts = counts.reshape(len(names), len(names))
    each, mean = areas(outcome.scores, cases.y, cases.groups)
    of_each = tuple(_of_class(name, i, counts, each[i]) for i, name in enumerate(names))
    table = outcome.probabilities
    calibrated = _calibration(cases, outcome, names, seed) if table.shape[1] else None
    return OfClasses(mean, of_each, confusions(counts, names), calibrated, counts)


def _of_class(name: str, i: int, counts: np.ndarray, auc: Estimate) -> OfClass:
    right, rows, predicted = int(counts[i, i]), int(counts[i].sum()), int(counts[:, i].sum())
    both = rows + predicted
    return OfClass(name, rows, predicted, _ratio(right, predicted), _ratio(right, rows), _ratio(2 * right, both), auc)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else np.nan


def confusions(counts: np.ndarray, names: Sequence[str]) -> tuple[Confusion, ...]:
    """The most frequent errors, at most MOST_PAIRS; of equally frequent ones first that of the larger share."""
    wrong, rows = counts * (1 - np.eye(len(counts), dtype=counts.dtype)), counts.sum(axis=1)
    true, predicted = np.nonzero(wrong)
    share = wrong[true, predicted] / rows[true]
    order = np.lexsort((predicted, true, -share, -wrong[true, predicted]))[:MOST_PAIRS]
    found = zip(true[order], predicted[order], share[order], strict=True)
    return tuple(Confusion(names[int(i)], names[int(j)], int(counts[i, j]), float(part)) for i, j, part in found)


def _calibration(cases: Cases, outcome: Outcome, names: Sequence[str], seed: int) -> Reliability:
    """Of two classes the probability of the second, of more that of the predicted class."""
    table = outcome.probabilities
    if len(names) == 2:
        return reliability(table[:, 1], cases.y == 1, f"the class {names[1]!r}", seed)
    own = table[np.arange(len(table)), outcome.predicted]
    return reliability(own, outcome.predicted == cases.y, "the predicted class", seed)
