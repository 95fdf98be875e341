"""Intervals of a regression that cover a stated share of new rows, whatever the errors look like: conformal prediction.

    calibration rows    prediction ± the ceil((n + 1) level)-th smallest of the n distances |y - prediction| on rows that
                        neither trained nor chose (split conformal; Papadopoulos et al. 2002, Lei et al. 2018)
    folds               from models that were each trained without one fold: between the smallest and largest, at the level,
                        of the predictions without row i's fold minus and plus row i's distance (CV+; Barber et al. 2021)

New rows must come from where the table comes from; then the interval covers at least `level` of them on average (CV+: at
least 2 level - 1 in theory, about `level` in practice).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.data import unstandardize
from gdjax.models._fitted import parts_of
from gdjax.runs.config import RunConfig
from gdjax.runs.job import Job, run_side_by_side, went_wrong
from gdjax.runs.options import TrainOptions
from gdjax.tables.row_split import CALIBRATED
from gdjax.tasks import Parts, Subject

FOLDS = 5
LEVEL = 0.9  # of the intervals, where none is asked for
WITHOUT_FOLDS = (
    "a run without one of the folds went wrong: there are no intervals, and no scores of the folds; a smaller learning rate "
    "may give them"
)
CHUNK = 1 << 22  # numbers of a table that is sorted at once


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Distances of calibration rows, in the units of the file; see the module's docstring."""

    distances: np.ndarray  # (n,)

    def bounds(self, predictions: np.ndarray, of_folds: Any, level: float) -> tuple[np.ndarray, np.ndarray]:
        """The lower and upper ends, (m,) each; infinite where there are too few rows for the level.

        Args:
            predictions: of the model, (m,).
            of_folds: unused.
        """
        half = half_width(self.distances, level)
        return predictions - half, predictions + half

    @property
    def rows(self) -> int:
        """How many rows set the intervals."""
        return len(self.distances)

    def arrays(self) -> dict[str, Any]:
        return {"distances": self.distances}


@dataclasses.dataclass(frozen=True)
class Folds:
    """Distances of training rows from the model that was trained without their fold; see the module's docstring."""

    distances: np.ndarray  # (n,) in the units of the file
    fold: np.ndarray  # (n,) int32 in [0, k); -1 for a row that was never held out, whose distance does not count
    params: Any  # those of the k models, each leaf (k, ...)

    def bounds(
        self, predictions: np.ndarray, of_folds: Callable[[], np.ndarray], level: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `Calibration.bounds`, where of_folds() are the predictions of the k models, (k, m)."""
        each, held = of_folds(), self.fold >= 0
        fold, distances = self.fold[held], self.distances[held]
        size = max(1, CHUNK // len(fold))
        parts = [_between(each[:, i : i + size], fold, distances, level) for i in range(0, each.shape[1], size)]
        low, high = zip(*parts, strict=True)
        return np.concatenate(low), np.concatenate(high)

    @property
    def rows(self) -> int:
        """How many rows set the intervals."""
        return int((self.fold >= 0).sum())

    def arrays(self) -> dict[str, Any]:
        return {"distances": self.distances, "fold": self.fold, **parts_of(self.params)}


def _between(each: np.ndarray, fold: np.ndarray, distances: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the intervals from the predictions of each fold's model, (k, m)."""
    rank = rank_of(len(distances), level)
    if rank > len(distances):
        return np.full(each.shape[1], -np.inf), np.full(each.shape[1], np.inf)
    centers, widths = each[fold], distances[:, None]
    high = np.partition(centers + widths, rank - 1, axis=0)[rank - 1]
    low = -np.partition(widths - centers, rank - 1, axis=0)[rank - 1]
    return low, high


def level_of(config: RunConfig, intervals: Calibration | Folds | None, level: float | None, stop: str) -> float | None:
    """The level of the intervals that a run gives: the one asked for, or LEVEL; None where it has no intervals of LEVEL.

    Args:
        stop: why the run has ended.

    Raises: ValueError for a level outside (0, 1), or one asked for that the run has no intervals of.
    """
    asked = LEVEL if level is None else level
    if not 0 < asked < 1:
        raise ValueError(f"`level` must be between 0 and 1, got {asked:g}")
    if config.data.task != "regression" and level is not None:
        raise ValueError("`level` is of the intervals of numbers, and this run predicts classes")
    missing = missing_intervals(config, intervals, stop, asked)
    if level is None or not missing:
        return None if missing or intervals is None else asked
    if intervals is None:
        raise ValueError(f"`level={level:g}`: {missing}")
    rows = intervals.rows
    raise ValueError(
        f"`level` must be at most {rows / (rows + 1):.4g}, as {rows} rows set the intervals, got {level:g}"
    )


def missing_intervals(
    config: RunConfig, intervals: Calibration | Folds | None, stop: str = "", level: float = LEVEL
) -> str:
    """Why the predictions of a regression have no intervals of a level, and what gives them, in a sentence; "" if they have.

    Args:
        stop: why the run has ended.
    """
    if config.data.task != "regression":
        return ""
    rows = config.data.rows
    if intervals is not None:
        few, most = intervals.rows, math.floor(100 * intervals.rows / (intervals.rows + 1)) / 100
        said = f"there are no {level:.0%} intervals: {few} rows set them, which hold a level of at most {most:g}"
        return f"{said} (predict with level {most:g}, or train on more rows)" if rank_of(few, level) > few else ""
    if went_wrong(stop) or stop == "INTERRUPTED":
        return f"there are no intervals: the run ended {stop}"
    if config.folds:
        return WITHOUT_FOLDS
    if rows["train"] < 2 * FOLDS:
        return f"there are no intervals: they need {2 * FOLDS} training rows, there are {rows['train']}"
    few = f"there are {rows['validation']}" if rows["validation"] < CALIBRATED else "they are of one group or time"
    return (
        f"there are no intervals: with --cv 0 they need {CALIBRATED} validation rows, half of which set them, and {few}; "
        "train without --cv 0"
    )


def rank_of(rows: int, level: float) -> int:
    """ceil((n + 1) level), where 0.9 of 9 rows is 9, and not 10 by rounding."""
    return math.ceil(round((rows + 1) * level, 9))


def half_width(distances: np.ndarray, level: float) -> float:
    """Half of the width of a split-conformal interval; infinite where the rows are too few.

    >>> print(gd.runs.half_width(np.arange(1.0, 10.0), 0.8))
    8.0
    """
    rank = rank_of(len(distances), level)
    return math.inf if rank > len(distances) else float(np.partition(distances, rank - 1)[rank - 1])


def folds_of(options: TrainOptions, subject: Subject, parts: Parts) -> int:
    """The number of folds: asked for, or FOLDS for a regression without calibration rows.

    Raises: ValueError for another number.
    """
    rows = len(parts.train[0])
    if options.cv is not None and options.cv != 0 and not 2 <= options.cv <= rows // 2:
        raise ValueError(f"`cv` must be 0, or from 2 to {rows // 2}, half of the training rows, got {options.cv}")
    if subject.task != "regression":  # which needs them for intervals
        return options.cv or 0
    by_default = FOLDS if not len(parts.calibration[0]) and rows >= 2 * FOLDS else 0
    return by_default if options.cv is None else options.cv


def calibrate(job: Job, params: Any, parts: Parts) -> Calibration:
    """The distances of the calibration rows."""
    x, y = parts.calibration
    return Calibration(np.abs(_in_units(job.objective.fitted.apply(params, x), parts) - _in_units(y, parts)))


class OutOfFold(NamedTuple):
    """Models that were each trained without one fold, and what they say of the rows held out."""

    fold: np.ndarray  # (n,) int32 in [0, k); -1 for a row that was never held out
    outputs: np.ndarray  # (n, ...) float64, in the units of the file
    y: np.ndarray  # (n,) labels, or numbers in these units
    params: Any  # those of the k models, each leaf (k, ...)

    def intervals(self) -> Folds:
        """Of a regression."""
        distances = np.where(self.fold < 0, 0.0, np.abs(self.outputs - self.y))
        return Folds(distances, self.fold, self.params)

    def scores(self, score: Callable[[np.ndarray, np.ndarray], Mapping[str, float]]) -> dict[str, Any]:
        """The mean of each score over the folds, with its standard error.

        Args:
            score: (outputs, y) -> scores by name.
        """
        number = int(self.fold.max()) + 1
        each = [score(self.outputs[self.fold == k], self.y[self.fold == k]) for k in range(number)]
        values = {name: np.array([one[name] for one in each]) for name in each[0]}
        errors = {name: float(x.std(ddof=1) / np.sqrt(number)) for name, x in values.items()}
        found = {name: {"mean": float(x.mean()), "standard_error": errors[name]} for name, x in values.items()}
        return {"folds": number, **found}


def train_folds(
    job_of: Callable[[Parts], Job], parts: Parts, fold: np.ndarray, tell: Callable[[str], None] = lambda _: None
) -> OutOfFold | None:
    """Train without each fold, on as many rows each, so that one compiled program serves all; None if one goes wrong.

    Args:
        job_of: the run on these parts.
        fold: (n,) the fold of each training row.
        tell: called with a few words before.
    """
    number, (x, y) = int(fold.max()) + 1, parts.train
    tell(f"without each of {number} folds")
    rests = [parts._replace(train=(x[kept], y[kept])) for kept in _rests(fold, number)]
    jobs = [job_of(rest) for rest in rests]
    results = run_side_by_side(jobs, rests)
    if any(went_wrong(result.stop.name) for result in results):
        return None
    outputs = np.zeros(0)
    fits = [job.objective.params_of(result) for job, result in zip(jobs, results, strict=True)]
    for k, (job, params) in enumerate(zip(jobs, fits, strict=True)):
        out = np.flatnonzero(fold == k)
        found = _in_units(job.objective.fitted.apply(params, x[out]), parts)
        outputs = outputs if len(outputs) else np.zeros((len(fold), *found.shape[1:]))
        outputs[out] = found
    truth = np.asarray(y) if parts.target is None else _in_units(y, parts)
    return OutOfFold(fold, outputs, truth, jax.tree.map(lambda *each: jnp.stack(each), *fits))


def _rests(fold: np.ndarray, number: int) -> list[np.ndarray]:
    """The rows to train on without each fold; as many for each, where they differ by a few."""
    rests = [np.flatnonzero((fold != k) & (fold <= k if (fold < 0).any() else True)) for k in range(number)]
    least = min(map(len, rests))
    if least < 0.95 * max(map(len, rests)):
        return rests
    return [np.sort(np.random.default_rng(k).choice(rest, least, replace=False)) for k, rest in enumerate(rests)]


def _in_units(outputs: jax.Array, parts: Parts) -> np.ndarray:
    """The outputs in float64; those of a regression in the units of the file."""
    wide = np.asarray(outputs, np.float64)
    return wide if parts.target is None else np.asarray(unstandardize(parts.target, wide))
