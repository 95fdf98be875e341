"""Other models on the same rows: the mean or the shares of the classes, a linear model, gradient-boosted trees."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gdjax.runs.assessment.outcome import Cases, Outcome, of_numbers, of_probabilities
from gdjax.tables.cells import cells_of, needs, numbers, texts
from gdjax.tables.columns import Column
from gdjax.tables.dates import read_dates

if TYPE_CHECKING:
    import pandas

    from gdjax.data import Table
    from gdjax.runs.work import Work

MOST_ROWS = 50_000  # training rows of the baselines; of a larger table a sample by the seed
MOST_PIXELS = 4_000_000  # likewise, of images and series
MOST_PLACES = 256  # numbers of an image or a series that trees take one by one
MOST_TREES, MOST_CLASSES = 2000, 50  # a round needs a tree for each class
MOST_LEVELS = 200  # of a category, for trees
LINEAR, TREES = "the linear model", "gradient-boosted trees"


def simplest(work: Work, cases: Cases) -> Outcome:
    """What is said without looking at a row: the mean of the training rows, or the shares of their classes."""
    y = work.problem.y[work.problem.rows.train]
    classes, rows = work.subject.classes, len(cases.y)
    if not classes:
        return of_numbers("the mean", np.full(rows, y.mean()), f"always answering the mean, {y.mean():.6g}")
    weights = _weights(work, y)
    shares = np.bincount(y, weights, len(classes)) / (len(y) if weights is None else weights.sum())
    most = int(np.bincount(y).argmax())  # in the rows as they are, whatever their weights and the threshold
    table = np.tile(shares, (rows, 1))
    return Outcome("the most frequent class", np.full(rows, most), table, table, f"always answering {classes[most]!r}")


def fit_baselines(work: Work, cases: Cases, tell: Callable[[str], None]) -> tuple[list[Outcome], list[str]]:
    """A linear model on the same features and boosted trees on the raw columns, trained on the same training rows.

    Of more than MOST_ROWS training rows they see a sample by the seed. There are no trees for more than MOST_CLASSES, nor
    for images and series of more than MOST_PLACES numbers.

    Returns: their outcomes, and sentences on what was left out.
    """
    rows, classes = len(work.problem.rows.train), len(work.subject.classes)
    most = min(MOST_ROWS, MOST_PIXELS // work.subject.features) if work.subject.shape else MOST_ROWS
    sample = sampled(rows, work.config.seed, most)
    y = work.problem.y[work.problem.rows.train][sample]
    if len(np.unique(y)) < 2:
        return [], ["other models need two classes in the training rows"]
    said = [f"the other models saw a sample of {most:,} of the {rows:,} training rows, drawn by the seed"]
    said = said if rows > most else []
    fits = {LINEAR: _linear, TREES: _trees}
    if classes > MOST_CLASSES:
        del fits[TREES]
        said.append(f"{TREES} are left out: {classes} classes need {classes} trees a round")
    elif work.subject.shape and work.subject.features > MOST_PLACES:
        del fits[TREES]
        said.append(f"{TREES} are left out: they would take each of {work.subject.features:,} numbers by itself")
    needs("sklearn.ensemble")  # whose threads can be limited once it is there
    # One thread: beside other programs, the threads of small trees wait for each other, and take twenty times as long.
    found = []
    with warnings.catch_warnings(), needs("threadpoolctl").threadpool_limits(1):
        warnings.simplefilter("ignore")  # of a fit that needs more iterations
        for name, fit in fits.items():
            tell(f"comparing with {name}")
            found.append(fit(work, cases, sample, y))
    return found, said


def sampled(rows: int, seed: int, most: int = MOST_ROWS) -> np.ndarray:
    """At most so many positions, drawn by the seed."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _linear(work: Work, cases: Cases, sample: np.ndarray, y: np.ndarray) -> Outcome:
    linear = needs("sklearn.linear_model")
    x = np.asarray(work.parts.train[0], np.float32)[sample]
    if work.subject.classes:
        model = linear.LogisticRegression(max_iter=200)
        return _of_classes(LINEAR, model, work, x, y, cases.x, "logistic regression (C = 1) on the same features")
    mean, scale = y.mean(), y.std() or 1.0
    model = linear.Ridge().fit(x.astype(np.float64), (y - mean) / scale)
    how = "ridge regression (penalty 1) on the same features"
    return of_numbers(LINEAR, mean + scale * model.predict(np.asarray(cases.x, np.float64)), how)


def _trees(work: Work, cases: Cases, sample: np.ndarray, y: np.ndarray) -> Outcome:
    ensemble, problem = needs("sklearn.ensemble"), work.problem
    columns, train = problem.understanding.columns, problem.rows.train[sample]
    raw = [RawColumn(column, problem.table.frame[column.name].iloc[train]) for column in columns]
    x, new = (_raw(problem.table, raw, rows) for rows in (train, cases.rows))
    look = {"random_state": work.config.seed, "categorical_features": [each.is_category for each in raw] or None}
    how = f"scikit-learn's histogram gradient boosting on the raw {'numbers' if work.subject.shape else 'columns'}"
    if not work.subject.classes:
        mean, scale = y.mean(), y.std() or 1.0
        model = ensemble.HistGradientBoostingRegressor(**look).fit(x, (y - mean) / scale)
        return of_numbers(TREES, mean + scale * model.predict(new), how)
    rounds = min(100, max(10, MOST_TREES // len(work.subject.classes)))
    how += f", {rounds} rounds for {len(work.subject.classes)} classes" if rounds < 100 else ""
    model = ensemble.HistGradientBoostingClassifier(max_iter=rounds, **look)
    return _of_classes(TREES, model, work, x, y, new, how)


def _raw(table: Table, columns: list[RawColumn], rows: np.ndarray) -> np.ndarray:
    """(n, d) of these rows, as trees take them."""
    if table.pixels is not None:
        return table.pixels[rows].reshape(len(rows), -1).astype(np.float64)
    return np.stack([each.read(cells_of(table.frame, each.name).iloc[rows]) for each in columns], axis=1)


def _of_classes(name: str, model: Any, work: Work, x: Any, y: np.ndarray, new: Any, how: str) -> Outcome:
    """The probabilities of a classifier, 0 of a class that it has not seen."""
    model.fit(x, y, sample_weight=_weights(work, y))
    table = np.zeros((len(new), len(work.subject.classes)))
    table[:, model.classes_] = model.predict_proba(new)
    return of_probabilities(name, table, work.config.threshold, how)


def _weights(work: Work, y: np.ndarray) -> np.ndarray | None:
    weights = work.config.class_weights
    return np.asarray(weights)[y] if weights else None


class RawColumn:
    """A column as trees take it: numbers as they are, the place of a level, the days of a date; NaN where missing.

    Args:
        column: what it is understood to be.
        series: its cells in the training rows, which decide the places of the levels.
    """

    name: str
    column: Column
    levels: dict[str, int]
    is_category: bool

    def __init__(self, column: Column, series: pandas.Series) -> None:
        self.name, self.column, self.levels = column.name, column, {}
        if column.kind not in ("number", "date"):
            counts = texts(series).value_counts()
            self.levels = {str(level): place for place, level in enumerate(counts.index)}
        self.is_category = 0 < len(self.levels) <= MOST_LEVELS

    def read(self, series: pandas.Series) -> np.ndarray:
        """(n,) float64."""
        if self.column.kind == "number":
            return numbers(series)[0]
        if self.column.kind == "date":
            times = read_dates(series, self.column.format)[0]
            return np.where(np.isnat(times), np.nan, times.astype(np.int64) / 86_400e6)
        return texts(series).map(self.levels).to_numpy(np.float64, na_value=np.nan)
