"""Columns whose test rows do not look like the training rows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from gdjax.tables.cells import cells_of, needs, numbers, texts
from gdjax.tables.columns import Column
from gdjax.tables.dates import read_dates

if TYPE_CHECKING:
    import pandas

    from gdjax.runs.problem import Problem

MOST_ROWS = 20_000  # of a part, a sample by the seed of more
SIGNIFICANT = 0.001  # probability of a false alarm in any of the columns
STRONG = 0.1  # distance of the distributions, in [0, 1]


@dataclasses.dataclass(frozen=True)
class Drift:
    """A column that differs.

    Args:
        distance: the largest difference of the distribution functions of numbers, or dates; of categories half the sum of
            the differences of their shares.
        p: the probability of such a difference, were the rows dealt at random.
    """

    column: str
    distance: float
    p: float


def drifts(problem: Problem, seed: int, but: str | None = None) -> list[Drift]:
    """The columns of strong and significant drift between training and test rows, the target among them, strongest first.

    Kolmogorov and Smirnov's test of two samples for numbers, chi-squared for categories; cells that are missing count as
    a category of their own, of numbers not at all. The level is shared by the columns (Bonferroni).

    Args:
        but: a column that differs by the way the rows are split.
    """
    random, rows = np.random.default_rng([seed, 2]), problem.rows
    parts = [np.sort(random.permutation(each)[:MOST_ROWS]) for each in (rows.train, rows.test)]
    columns, frame, found = problem.understanding.columns, problem.table.frame, []
    for column in columns:
        if column.name == but:
            continue
        measured = _compare(column, *(cells_of(frame, column.name).iloc[part] for part in parts))
        found += [] if measured is None else [Drift(column.name, *measured)]
    y = [problem.y[part] for part in parts]
    measured = _of_levels(*(each[each >= 0] for each in y)) if problem.understanding.classes else _of_numbers(*y)
    found += [] if measured is None else [Drift(problem.understanding.target, *measured)]
    strong = [each for each in found if each.p < SIGNIFICANT / (len(columns) + 1) and each.distance >= STRONG]
    return sorted(strong, key=lambda each: -each.distance)


def _compare(column: Column, train: pandas.Series, test: pandas.Series) -> tuple[float, float] | None:
    if column.kind == "number":
        return _of_numbers(numbers(train)[0], numbers(test)[0])
    if column.kind == "date":
        return _of_numbers(*(_times(series, column.format) for series in (train, test)))
    both = needs("pandas").factorize(needs("pandas").concat([texts(train), texts(test)]), use_na_sentinel=False)[0]
    return _of_levels(both[: len(train)], both[len(train) :])


def _times(series: pandas.Series, format: str) -> np.ndarray:
    times = read_dates(series, format)[0]
    return np.where(np.isnat(times), np.nan, times.astype(np.int64).astype(float))


def _of_numbers(train: np.ndarray, test: np.ndarray) -> tuple[float, float] | None:
    from scipy.stats import ks_2samp

    train, test = (each[np.isfinite(each)] for each in (train, test))
    if not len(train) or not len(test):
        return None
    found: Any = ks_2samp(train, test, method="asymp")
    return float(found.statistic), float(found.pvalue)


def _of_levels(train: np.ndarray, test: np.ndarray) -> tuple[float, float] | None:
    from scipy.stats import chi2_contingency

    if not len(train) or not len(test):
        return None
    levels = int(max(train.max(), test.max())) + 1
    counts = np.stack([np.bincount(each, minlength=levels) for each in (train, test)])
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2:
        return None
    rare = counts.sum(axis=0) < 10  # are counted together, for the sake of the test
    pooled = np.concatenate([counts[:, ~rare], counts[:, rare].sum(axis=1, keepdims=True)], axis=1)
    pooled = pooled[:, pooled.sum(axis=0) > 0]
    shares = pooled / pooled.sum(axis=1, keepdims=True)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    found: Any = chi2_contingency(pooled) if pooled.shape[1] > 1 else None
    return None if found is None else (distance, float(found.pvalue))
