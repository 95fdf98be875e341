"""Numbers as features: standardized, by rank, or piecewise linear between quantiles."""

from __future__ import annotations

import dataclasses

import numpy as np

from gdjax.data.arrays import fit_scaling
from gdjax.tables.cells import needs

FAR = 8.0  # robust deviations from the median, from which on a column is encoded by ranks
BINS = 8
POINTS = 1000  # at most, between which ranks are interpolated
LARGEST = 1e30  # feature, which float32 holds
MOST = 1e300  # deviations, so that their number is finite
SIGMA = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
FORMS = ("standardized", "piecewise_linear")


@dataclasses.dataclass(frozen=True)
class NumberMap:
    """x -> (x - center) / scale, or the normal score of x's rank; then, if there are edges, its place in each bin.

        bins: clip((z - edge_i) / (edge_i+1 - edge_i), 0, 1), where the first has no lower and the last no upper bound

    Args:
        points, scores: increasing; between and beyond them, z is interpolated and constant. Empty for the first form.
        edges: increasing, of the bins, in units of z; empty for z itself.
    """

    center: float = 0.0
    scale: float = 1.0
    points: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """The number of features."""
        return max(1, len(self.edges) - 1)

    def apply(self, x: np.ndarray) -> np.ndarray:
        """(n,) numbers -> (n, width) features, in float64, at most LARGEST in size."""
        with np.errstate(over="ignore"):
            z = np.interp(x, self.points, self.scores) if self.points else (x - self.center) / self.scale
            if not self.edges:
                return np.clip(z[:, None], -LARGEST, LARGEST)
            edges = np.array(self.edges)
            lower, upper = np.zeros(self.width), np.ones(self.width)
            lower[0], upper[-1] = -LARGEST, LARGEST
            return np.clip((z[:, None] - edges[:-1]) / np.diff(edges), lower, upper)


def fit_map(x: np.ndarray, form: str, by_rank: bool) -> NumberMap:
    """The map of the numbers of a column, all of them present and at least two of them different."""
    number = _by_rank(x) if by_rank else _standardized(x)
    if form == "standardized":
        return number
    edges = np.unique(np.quantile(number.apply(x)[:, 0], np.linspace(0, 1, BINS + 1), method="inverted_cdf"))
    return dataclasses.replace(number, edges=tuple(edges.tolist())) if len(edges) > 2 else number


def deviations(x: np.ndarray, median: float) -> float:
    """How many robust deviations the farthest number is from the median; of the distinct numbers, if most are equal.

    The deviation is that of a normal distribution with the same median absolute deviation.
    """
    distances = abs(x - median)
    if not np.median(distances):
        distinct = np.unique(x)
        distances = abs(distinct - np.median(distinct))
    typical = SIGMA * np.median(distances)
    return float(distances.max() / max(typical, distances.max() / MOST)) if typical else 0.0


def _standardized(x: np.ndarray) -> NumberMap:
    scaling = fit_scaling(x)
    return NumberMap(float(scaling.mean), float(scaling.scale))


def _by_rank(x: np.ndarray) -> NumberMap:
    """Normal scores of the ranks, equal numbers sharing their mean rank, with mean 0 and variance 1."""
    ordered = np.sort(x)
    points = np.unique(ordered[np.linspace(0, len(x) - 1, min(len(x), POINTS)).round().astype(int)])
    shares = (np.searchsorted(ordered, points, "left") + np.searchsorted(ordered, points, "right")) / (2 * len(x))
    scores = needs("scipy.special").ndtri(shares)
    scaling = fit_scaling(np.interp(x, points, scores))
    return NumberMap(points=tuple(points.tolist()), scores=tuple(((scores - scaling.mean) / scaling.scale).tolist()))
