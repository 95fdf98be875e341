"""What to bear in mind before one trusts a run: few rows, rare classes, drift, probabilities that are off ..."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from gdjax.runs.assessment.classes import OfClasses
from gdjax.runs.assessment.comparison import Standing
from gdjax.runs.assessment.drift import drifts
from gdjax.runs.assessment.numbers import OfNumbers
from gdjax.runs.assessment.outcome import Cases
from gdjax.runs.assessment.wording import brief, percent
from gdjax.text import listing

if TYPE_CHECKING:
    from gdjax.runs.work import Work
    from gdjax.training import Result

FEW_TEST, FEW_TRAIN = 100, 200
RARE = 20  # training rows of a class
UNEVEN = 10  # times as many rows in the most frequent class as in the rarest


def alarm(task: str, simplest: Standing) -> str:
    """A sentence where the run is no better than saying the same for every row; else "".

    A classification is better if its log loss or its accuracy is, beyond its interval.
    """
    if any(lead.low > 0 for lead in simplest.lead.values()):
        return ""
    lead = next(iter(simplest.lead.values()))
    said = {"regression": "NO BETTER THAN THE MEAN", "classification": "NO BETTER THAN CHANCE"}[task]
    worse = "is even worse than" if lead.high < 0 else "cannot be told from"
    of_classes = "the shares of the classes" if "log_loss" in simplest.lead else "the most frequent class"
    same = "the mean" if task == "regression" else of_classes
    return f"{said}: on the test rows this run {worse} saying {same} for every row"


def caveats_of(
    work: Work,
    result: Result,
    cases: Cases,
    standings: list[Standing],
    scores: OfClasses | OfNumbers,
) -> list[str]:
    """Sentences of what may be wrong, the gravest first."""
    return [
        *_of_rows(work, cases),
        *(_of_classes(work, standings, scores) if isinstance(scores, OfClasses) else _of_numbers(scores)),
        *_of_drift(work),
        *_of_training(result),
    ]


def _of_rows(work: Work, cases: Cases) -> Iterator[str]:
    train, features = len(work.problem.rows.train), work.encoding.width
    if len(cases.y) < FEW_TEST:
        yield f"only {len(cases.y)} test row{'s' * (len(cases.y) > 1)}: the scores are rough, as their intervals say"
    if train < FEW_TRAIN:
        yield f"only {train} training rows: with more of them the run is likely to get better"
    elif train < 5 * features and not work.subject.shape:
        yield f"{features} features for {train:,} training rows: some of what was learned may be chance"
    if cases.left:
        yield f"{cases.left:,} test rows were left out, since a cell cannot be read or the target is not known"


def _of_classes(work: Work, standings: list[Standing], scores: OfClasses) -> Iterator[str]:
    names = work.subject.classes
    counts = np.bincount(work.problem.y[work.problem.rows.train], minlength=len(names))
    rare = [f"{names[i]!r} ({counts[i]})" for i in np.argsort(counts, kind="stable") if counts[i] < RARE]
    if rare:
        yield f"few training rows of the {'class' if len(rare) == 1 else 'classes'} {listing(rare, 5)}"
    if counts.max() > UNEVEN * max(1, counts.min()):
        share = counts.max() / counts.sum()
        yield (
            f"the classes are uneven: {names[int(counts.argmax())]!r} has {percent(share)} of the training rows; look at "
            "the recall of the rare ones, not at the accuracy"
        )
    simplest = standings[1].lead if len(standings) > 1 else {}
    if "log_loss" in simplest and simplest["log_loss"].low > 0 >= simplest["accuracy"].low:
        yield "its classes are not more often right than the most frequent class alone; only its probabilities say more"
    if "log_loss" in simplest and simplest["log_loss"].low <= 0 < simplest["accuracy"].low:
        yield "its probabilities are worse than its classes: it is too sure of itself"
    if work.config.class_weights:
        yield "the classes were weighted: its probabilities are those of rows in which the classes have these weights"
    elif scores.calibration is not None and not scores.calibration.is_good:
        said = scores.calibration
        yield (
            f"its probabilities are off by {percent(said.error)} on average, more than the {percent(said.by_chance)} that "
            "chance explains"
        )


def _of_numbers(scores: OfNumbers) -> Iterator[str]:
    coverage = scores.coverage
    if scores.missing:
        yield scores.missing
    if coverage is not None and not coverage.is_right:
        few = "too few" if coverage.share.high < coverage.level else "more than needed"
        yield (
            f"its {coverage.level:.0%} intervals cover {brief(coverage.share, 'share')} of the test rows, which is {few}"
        )
    if scores.bias.low > 0 or scores.bias.high < 0:
        yield f"its predictions are off by {brief(scores.bias)} on average"


def _of_drift(work: Work) -> Iterator[str]:
    found = drifts(work.problem, work.config.seed, work.config.data.reading.get("time"))
    if found:
        said = [f"{each.column!r} (distance {each.distance:.2f})" for each in found]
        yield f"the test rows differ from the training rows in {listing(said, 5)}: the scores are those of such rows"


def _of_training(result: Result) -> Iterator[str]:
    best, evaluations = result.best_evaluation, len(result.history["epoch"])
    rates = np.asarray(result.history.get("learning_rate", [0.0, 0.0]), float)
    if best == evaluations - 1 and evaluations > 1 and result.stop.name == "BUDGET" and rates[-1] >= rates.max():
        yield "the validation loss was still falling when training ended: more epochs may help"
