"""The area under the ROC curve of each class against the rest, with its interval."""

from __future__ import annotations

import numpy as np

from gdjax.runs.assessment.resampling import Estimate

NORMAL = 1.959964  # 97.5 % quantile


def areas(scores: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None) -> tuple[list[Estimate], Estimate]:
    """The area of each class, and their mean.

        area = P(score of a row of the class > score of another), ties counting half

    The variance is that of DeLong et al.: the sum of the squares of what each row, or each group, adds. Where classes are
    separated without an error the rows say nothing of it, and there is no interval.

    Args:
        scores: (n, C), larger where the class is likelier.
        y: (n,) labels.
        groups: (n,) of rows that are not independent.

    Returns: NaN for a class that no row or every row has; the mean is over the others.
    Reference: DeLong, DeLong & Clarke-Pearson 1988.
    """
    found = [_area(column, y == label) for label, column in enumerate(scores.T)]
    known = [each for each in found if each is not None]
    none = Estimate(np.nan, np.nan, np.nan)
    if not known:
        return [none] * len(found), none
    mean = (sum(area for area, _ in known) / len(known), np.sum([parts for _, parts in known], axis=0) / len(known))
    return [none if each is None else _estimate(*each, groups) for each in found], _estimate(*mean, groups)


def _area(scores: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray] | None:
    """The area, and what each row adds to its error, (n,)."""
    from scipy.stats import rankdata

    count = int(positive.sum())
    if not 0 < count < len(positive):
        return None
    ranks, placed = rankdata(scores), np.empty(len(scores))
    for side, others in ((positive, len(scores) - count), (~positive, count)):
        placed[side] = (ranks[side] - rankdata(scores[side])) / others
    placed[~positive] = 1 - placed[~positive]
    area = placed[positive].mean()
    parts = placed - area
    for side in (positive, ~positive):
        size = side.sum()
        parts[side] /= size * np.sqrt((size - 1) / size) if size > 1 else 1
    return float(area), parts


def _estimate(area: float, parts: np.ndarray, groups: np.ndarray | None) -> Estimate:
    whole = parts if groups is None else np.bincount(groups, parts)
    half = NORMAL * float(np.sqrt(np.sum(whole**2)))
    return Estimate(area, max(0.0, area - half), min(1.0, area + half)) if half else Estimate(area, np.nan, np.nan)
