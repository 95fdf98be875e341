"""The statistics of a tournament: an exact paired test, the correction for many of them, and bootstrap intervals.

All of them take values that are infinite, those of runs that went wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 10_000


def signed_rank_test(a: ArrayLike, b: ArrayLike) -> float:
    """The two-sided p-value of Wilcoxon's signed-rank test of paired values, exact also with ties.

        W = sum of the ranks of |a_i - b_i| over a_i > b_i,     p = P(|W' - E W'| >= |W - E W'|),

    where the signs in W' are independent and each as likely. So p <= level has at most that probability wherever a_i and
    b_i are exchangeable, whatever their distribution. Pairs of equal values are left out.

    Args:
        a, b: (n,). Of two infinite values of one sign, none is greater.

    >>> print(gd.sweeps.signed_rank_test([1.0, 2.0, 3.0, 4.0, 5.0], [1.5, 2.6, 3.7, 4.8, 5.9]))
    0.0625
    """
    from scipy.stats import rankdata

    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape or a.ndim != 1 or np.isnan([a, b]).any():
        raise ValueError(
            f"signed_rank_test: a and b must be (n,) numbers, as many of each, got {a.shape} and {b.shape}"
        )
    differences = _differences(a, b)
    ranks = np.rint(2 * rankdata(np.abs(differences))).astype(int)  # doubled, so that those of ties are whole
    ways = np.ones(1)
    for rank in ranks:
        ways = np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))
    away = np.abs(2 * np.arange(len(ways)) - ranks.sum())
    observed = abs(2 * int(ranks[differences > 0].sum()) - int(ranks.sum()))
    return float(ways[away >= observed].sum() / ways.sum())


def signed_rank_shift(a: ArrayLike, b: ArrayLike) -> tuple[int, float]:
    """The direction in which the signed-rank test says that a differs from b, and by how much, by Hodges and Lehmann.

        sign(W - E W),     median over i <= j of (d_i + d_j) / 2,     d_i = a_i - b_i, of the pairs that are not equal

    W - E W is half the number of averages above 0, less half that of those below 0, so that the two never contradict each
    other. Of infinities of both signs, the average is 0. Without a direction, p is 1 and the difference 0.

    Reference: Hodges & Lehmann 1963, Annals of Mathematical Statistics 34(2).
    """
    differences = _differences(np.asarray(a, float), np.asarray(b, float))
    first, second = np.triu_indices(len(differences))
    with np.errstate(invalid="ignore"):
        averages = np.nan_to_num((differences[first] + differences[second]) / 2, nan=0.0, posinf=np.inf, neginf=-np.inf)
    direction = int(np.sign(np.sign(averages).sum()))
    return direction, float(np.median(averages)) if direction else 0.0


def _differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of the pairs that are not equal."""
    return a[a != b] - b[a != b]


def least_p(number: int) -> float:
    """The least p-value that the signed-rank test of so many pairs can have."""
    return min(1.0, 2.0 ** (1 - number))


def holm(p: ArrayLike) -> np.ndarray:
    """p-values of several tests, corrected: to reject where they are <= level errs anywhere with at most that probability.

        p_(k) <- max over j <= k of min(1, (m + 1 - j) p_(j)),        p_(1) <= ... <= p_(m)

    Reference: Holm 1979, Scandinavian Journal of Statistics 6(2).

    >>> print(gd.sweeps.holm([0.01, 0.04, 0.03]))
    [0.03 0.06 0.06]
    """
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1, np.arange(len(p), 0, -1) * p[order])
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(steps)
    return corrected


def bootstrap_interval(
    values: ArrayLike, statistic: Callable[..., Any] = np.median, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """The percentile interval of a statistic, from samples of the values with replacement.

    Args:
        values: (n,).
        statistic: (values, axis) -> number.
        level: in (0, 1), the share of the samples within.

    Reference: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.

    >>> low, high = gd.sweeps.bootstrap_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    >>> print(low, high)
    1.0 5.0
    """
    values = np.asarray(values, float)
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    found = statistic(values[drawn], axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(found, [tail, 1 - tail], method="inverted_cdf")  # one of them, so that it may be infinite
    return float(low), float(high)


def adjusted_pairs(scores: Sequence[np.ndarray]) -> dict[tuple[int, int], tuple[float, float]]:
    """(i, j) -> (p, corrected p) of the paired test between all of several competitors' scores, (n,) each."""
    pairs = [(i, j) for i in range(len(scores)) for j in range(i + 1, len(scores))]
    p = [signed_rank_test(scores[i], scores[j]) for i, j in pairs]
    return {pair: (raw, float(each)) for pair, raw, each in zip(pairs, p, holm(p), strict=True)}
