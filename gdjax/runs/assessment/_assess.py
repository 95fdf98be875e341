"""The assessment of a run: its numbers, as result.json holds them and the page tells them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gdjax.runs.assessment import classes, numbers
from gdjax.runs.assessment.baselines import fit_baselines, simplest
from gdjax.runs.assessment.caveats import alarm, caveats_of
from gdjax.runs.assessment.coefficients import Coefficients, coefficients_of
from gdjax.runs.assessment.comparison import Standing, compare
from gdjax.runs.assessment.disagreement import Disagreement, disagreement_of
from gdjax.runs.assessment.importance import Importance, importance_of
from gdjax.runs.assessment.outcome import Cases, Outcome, cases_of, outcome_of
from gdjax.runs.assessment.resampling import Resampling
from gdjax.runs.assessment.wording import brief
from gdjax.runs.intervals import LEVEL, Calibration

if TYPE_CHECKING:
    from gdjax.runs.folder import LoadedRun
    from gdjax.runs.options import TrainOptions
    from gdjax.runs.work import Work
    from gdjax.training import Result


@dataclasses.dataclass(frozen=True, eq=False)
class Assessment:
    """How good a run is on its test rows.

    Args:
        cases, outcome: the test rows, and what the run says of them.
        standings: of the run, of the simplest answer, and of the other models.
        scores: those of its task.
        importance: None where it was left out, and of images and series, which have no columns.
        coefficients: of a linear model whose columns have some.
        disagreement: of the members of an ensemble.
        alarm: a sentence if the run is no better than no model; else "".
        caveats: sentences.
        remarks: sentences on what was left out of the comparison.
    """

    cases: Cases
    outcome: Outcome
    standings: tuple[Standing, ...]
    scores: classes.OfClasses | numbers.OfNumbers
    importance: Importance | None
    coefficients: Coefficients | None
    disagreement: Disagreement | None
    alarm: str
    caveats: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def headline(self) -> str:
        """How good the run is, in a sentence."""
        own, least = self.standings[0].scores, self.standings[1]
        if "accuracy" in own:
            beside = f"{brief(least.scores['accuracy'], 'accuracy')} by {least.how}"
            return f"Right in {brief(own['accuracy'], 'accuracy')} of the test rows, against {beside}."
        return (
            f"Off by {brief(own['rmse'])} (root mean square) on the test rows, against {brief(least.scores['rmse'])} by "
            f"{least.how}."
        )

    def sentences(self) -> list[str]:
        """Which of the run and each other model is better, and how far the members of an ensemble disagree."""
        own = [] if self.disagreement is None else [self.disagreement.sentence()]
        return [*(standing.sentence() for standing in self.standings[2:]), *own]

    def to_json(self) -> dict[str, Any]:
        """The numbers, in the types of JSON but for NaN."""
        said = {
            "headline": self.headline,
            "alarm": self.alarm,
            "rows": len(self.cases.y),
            "models": [standing.to_json() for standing in self.standings],
            **self.scores.to_json(),
            "caveats": list(self.caveats),
            "remarks": list(self.remarks),
        }
        for name in ("importance", "coefficients", "disagreement"):
            if getattr(self, name) is not None:
                said[name] = getattr(self, name).to_json()
        return said


def assess(
    work: Work,
    run: LoadedRun,
    result: Result,
    options: TrainOptions,
    tell: Callable[[str], None] = lambda _: None,
) -> Assessment | None:
    """Judge a run by its test rows; None if there are none.

    With `quick` there are no other models but the simplest, and no importance of the columns.
    """
    cases, seed = cases_of(work, options), work.config.seed
    if not len(cases.y):
        return None
    outcome, resampling = outcome_of(run, cases.x), Resampling(len(cases.y), seed, cases.groups)
    others, remarks = (
        ([], ["other models were left out by --quick"]) if options.quick else fit_baselines(work, cases, tell)
    )
    standings = compare(cases, [outcome, simplest(work, cases), *others], resampling)
    scores = _scores(work, run, cases, outcome, resampling)
    alone = options.quick or not run.encoding.spans
    importance = None if alone else importance_of(run, cases, outcome.losses(cases.y), seed, tell)
    return Assessment(
        cases,
        outcome,
        tuple(standings),
        scores,
        importance,
        coefficients_of(work, options, result.params),
        disagreement_of(run, cases, resampling),
        alarm(work.subject.task, standings[1]),
        tuple(caveats_of(work, result, cases, standings, scores)),
        tuple(remarks),
    )


def _scores(
    work: Work, run: LoadedRun, cases: Cases, outcome: Outcome, resampling: Resampling
) -> classes.OfClasses | numbers.OfNumbers:
    if work.subject.classes:
        return classes.of_classes(cases, outcome, work.subject.classes, work.config.seed)
    if run.intervals is None or run.without_intervals:
        return numbers.of_numbers(cases, outcome, resampling, None, run.without_intervals)
    bounds = run.intervals.bounds(outcome.predicted, lambda: run.outputs_of_folds(cases.x), LEVEL)
    by = isinstance(run.intervals, Calibration)
    rows = len(run.intervals.distances)
    how = f"{rows:,} calibration rows" if by else f"{rows:,} training rows in {run.config.folds} folds (CV+)"
    return numbers.of_numbers(cases, outcome, resampling, bounds, how)
