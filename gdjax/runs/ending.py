"""What the end of a run adds to its folder; of a run on a table: its intervals, its assessment, its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gdjax.runs.arrays import Kept
from gdjax.runs.assessment._assess import Assessment, assess
from gdjax.runs.assessment.page import render
from gdjax.runs.folder import Encoded, LoadedRun
from gdjax.runs.intervals import WITHOUT_FOLDS, Calibration, Folds, calibrate, missing_intervals, train_folds
from gdjax.runs.job import went_wrong
from gdjax.runs.options import TrainOptions
from gdjax.runs.report import Scores, describe_run, pictures
from gdjax.runs.scores import score
from gdjax.runs.work import Work
from gdjax.training import Result

Tell = Callable[[str], None]


class Ending(NamedTuple):
    """What a run adds to its folder at its end, whatever its data are."""

    numbers: Mapping[str, Any]  # of result.json, beside those of every run
    kept: Kept
    encoding: Encoded  # how the data became numbers
    pictures: Mapping[str, Any]  # by their file
    page: str | None  # None where there is nothing to judge the run by
    words: str  # that are printed
    alarm: str  # what must not be overlooked; else ""


def is_good(result: Result) -> bool:
    """Whether a run has come to its end, and can be judged."""
    return result.stop.name != "INTERRUPTED" and not went_wrong(result.stop.name)


def end_table(work: Work, folder: Path, result: Result, options: TrainOptions, tell: Tell) -> Ending:
    """Set the intervals of a run on a table, and judge it."""
    good, params = is_good(result), work.job.objective.params_of(result)
    intervals, held_out = _calibrate(work, result, options, tell) if good else (None, None)
    scores = {name: work.job.objective.scores(params, rows) for name, rows in work.parts.by_name().items()}
    kept, drawn = Kept(params, work.parts.target, intervals), pictures(work, result)
    found, page = _assess(work, folder, result, options, tell, kept, drawn, scores) if good else (None, None)
    said = {
        **scores,
        "cross_validation": held_out,
        "trials": [trial._asdict() for trial in work.trials],
        "assessment": None if found is None else found.to_json(),
    }
    lost = bool(work.config.folds) and held_out is None
    missing = "" if not good else WITHOUT_FOLDS if lost else missing_intervals(work.config, intervals)
    as_asked = options.cv == 0  # then it is said, and no alarm
    words = describe_run(work, result, scores, found, held_out, missing if as_asked else "")
    alarms = ["" if as_asked else missing, found.alarm if found else ""]
    return Ending(said, kept, work.encoding, drawn, page, words, "; ".join(filter(None, alarms)))


def _assess(
    work: Work,
    folder: Path,
    result: Result,
    options: TrainOptions,
    tell: Tell,
    kept: Kept,
    drawn: Mapping[str, Any],
    scores: Scores,
) -> tuple[Assessment | None, str | None]:
    """How good the run is, and the page that tells it."""
    run = LoadedRun(folder, work.config, {}, [], work.job.objective.fitted, kept.params, work.encoding, *kept[1:])
    found = assess(work, run, result, options, tell)
    return found, render(folder, work, result, found, drawn, scores)


def _calibrate(
    work: Work, result: Result, options: TrainOptions, tell: Tell
) -> tuple[Calibration | Folds | None, dict[str, Any] | None]:
    """The intervals of a regression, and the scores of the rows held out, where there are folds."""
    is_regression = work.subject.task == "regression"
    if work.config.folds:
        fold = work.problem.folds(work.config.folds, options)
        held_out = train_folds(work.job_of, work.parts, fold, tell)
        if held_out is None:
            return None, None
        scores = held_out.scores(lambda outputs, y: score(work.config, outputs, y))
        return held_out.intervals() if is_regression else None, scores
    has_rows = is_regression and len(work.parts.calibration[0])
    return calibrate(work.job, work.job.objective.params_of(result), work.parts) if has_rows else None, None
