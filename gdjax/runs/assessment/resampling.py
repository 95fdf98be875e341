"""How far a score could be off: intervals of averages over test rows, by the bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

DRAWS = 2000
MOST_UNITS = 2000  # that are drawn from; of more rows, each unit is as many rows at random
FEWEST_UNITS = 10  # of fewer the draws say nothing, and there is no interval
LEVEL = 0.95


class Estimate(NamedTuple):
    """A value with its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, object]:
        return {"value": self.value, "interval": [self.low, self.high]}


class Resampling:
    """The bootstrap over rows: DRAWS times as many rows are drawn with replacement, and averaged again.

        interval: the 2.5 % and 97.5 % quantiles of the statistic of these averages

    Every average is taken over the same draws, so that the interval of a difference is that of paired rows.

    Args:
        rows: their number.
        seed: of the draws.
        groups: (rows,) a number for each row; rows of one number are drawn together, since they are not independent.

    Reference: Efron 1979, "Bootstrap methods: another look at the jackknife".
    """

    unit: np.ndarray
    counts: np.ndarray

    def __init__(self, rows: int, seed: int, groups: np.ndarray | None = None) -> None:
        random = np.random.default_rng([seed, rows])
        found = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1]
        number = int(found.max()) + 1
        if number > MOST_UNITS:
            found = random.permutation(number)[found] % MOST_UNITS
        self.unit, units = found, min(number, MOST_UNITS)
        drawn = random.integers(units, size=(DRAWS, units)) + units * np.arange(DRAWS)[:, None]
        self.counts = np.bincount(drawn.ravel(), minlength=DRAWS * units).reshape(DRAWS, units).astype(float)

    def sums(self, columns: np.ndarray) -> np.ndarray:
        """The sums of each unit's rows, (units, k)."""
        units = self.counts.shape[1]
        return np.stack([np.bincount(self.unit, column, units) for column in columns.T], axis=1)

    def means(self, columns: np.ndarray) -> np.ndarray:
        """The averages of columns (rows, k) over each draw, (DRAWS, k)."""
        sizes = self.counts @ self.sums(np.ones((len(columns), 1)))
        return self.counts @ self.sums(columns) / sizes

    def estimate(self, columns: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> Estimate:
        """A statistic of averages of columns.

        Args:
            columns: (rows, k).
            statistic: (..., k) averages -> (...).
        """
        (found,) = self.estimates(columns, lambda means: statistic(means)[..., None])
        return found

    def estimates(self, columns: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> list[Estimate]:
        """As `estimate`, where the statistic is (..., k) -> (..., m)."""
        values = statistic(columns.mean(axis=0))
        ends = np.full((2, len(values)), np.nan)
        if self.counts.shape[1] >= FEWEST_UNITS:
            ends = np.quantile(statistic(self.means(columns)), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        return [Estimate(float(value), float(low), float(high)) for value, low, high in zip(values, *ends, strict=True)]


def first(means: np.ndarray) -> np.ndarray:
    """The average of the first column itself, as a statistic."""
    return means[..., 0]


def share(right: np.ndarray) -> Estimate:
    """A share of independent rows with its exact interval (Clopper & Pearson 1934).

    Args:
        right: (n,) bool.
    """
    return share_of(int(right.sum()), len(right))


def share_of(number: int, rows: int) -> Estimate:
    from scipy.special import betaincinv

    if not rows:
        return Estimate(np.nan, np.nan, np.nan)
    tail = (1 - LEVEL) / 2
    low = betaincinv(number, rows - number + 1, tail) if number else 0.0
    high = betaincinv(number + 1, rows - number, 1 - tail) if number < rows else 1.0
    return Estimate(number / rows, float(low), float(high))
