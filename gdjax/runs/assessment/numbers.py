"""How good a regression is: r², the bias, and the rows inside their intervals."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from gdjax.runs.assessment.outcome import Cases, Outcome
from gdjax.runs.assessment.resampling import Estimate, Resampling, first, share
from gdjax.runs.intervals import LEVEL


@dataclasses.dataclass(frozen=True)
class Coverage:
    """The rows inside their intervals, which are to cover `level` of new rows.

    Args:
        share: of the test rows.
        mean_width: in the units of the file.
        how: by which rows the intervals are set.
    """

    level: float
    share: Estimate
    mean_width: float
    how: str

    @property
    def is_right(self) -> bool:
        """Whether the level lies in the interval of the share."""
        return self.share.low <= self.level <= self.share.high

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "share": self.share.to_json()}


@dataclasses.dataclass(frozen=True, eq=False)
class OfNumbers:
    """The scores of a regression.

    Args:
        r2: 1 - mean e² / variance of the target in the test rows; NaN where it does not vary.
        bias: mean of prediction - truth.
        coverage: None where the run has no intervals.
        low, high: (n,) the ends of the intervals; of no rows without.
        missing: why there are none.
    """

    r2: Estimate
    bias: Estimate
    coverage: Coverage | None
    low: np.ndarray
    high: np.ndarray
    missing: str = ""

    def to_json(self) -> dict[str, Any]:
        said = {"r2": self.r2.to_json(), "bias": self.bias.to_json()}
        return said | ({} if self.coverage is None else {"coverage": self.coverage.to_json()})


def of_numbers(
    cases: Cases, outcome: Outcome, resampling: Resampling, bounds: tuple[np.ndarray, np.ndarray] | None, how: str
) -> OfNumbers:
    """The scores of the run's outcome.

    Args:
        bounds: the ends of the intervals at LEVEL, (n,) each.
        how: by which rows they are set, or why there are none.
    """
    error, centered = outcome.predicted - cases.y, cases.y - cases.y.mean()
    columns = np.stack([error**2, centered**2, centered], axis=1)
    r2 = resampling.estimate(columns, _r2) if centered.any() else Estimate(np.nan, np.nan, np.nan)
    bias = resampling.estimate(error[:, None], first)
    if bounds is None:
        return OfNumbers(r2, bias, None, np.zeros(0), np.zeros(0), how)
    low, high = bounds
    inside = (low <= cases.y) & (cases.y <= high)
    of_rows = share(inside) if cases.groups is None else resampling.estimate(inside[:, None].astype(float), first)
    return OfNumbers(r2, bias, Coverage(LEVEL, of_rows, float(np.mean(high - low)), how), low, high)


def _r2(means: np.ndarray) -> np.ndarray:
    square, second, mean = np.moveaxis(means, -1, 0)
    spread = second - mean**2
    return 1 - square / np.where(spread > 0, spread, np.nan)
