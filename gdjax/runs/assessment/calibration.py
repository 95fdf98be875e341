"""Whether probabilities mean what they say: of the rows to which 70 % is given, are 70 % so?"""

from __future__ import annotations

import dataclasses

import numpy as np

from gdjax.runs.assessment.resampling import Estimate, share_of

BINS = 10
ROWS = 20  # of a bin, at least, where there are so many
DRAWS = 1000


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Bins of rows of similar probability.

    Args:
        of: what the probability is of.
        said: the mean probability of each bin.
        found: the share of its rows for which it is so.
        rows: of each bin.
        error: mean |said - found| over the rows, the expected calibration error (Naeini et al. 2015).
        by_chance: what it would be at most for 95 % of as many rows, were the probabilities exact.
    """

    of: str
    said: tuple[float, ...]
    found: tuple[Estimate, ...]
    rows: tuple[int, ...]
    error: float
    by_chance: float

    @property
    def is_good(self) -> bool:
        """Whether the error is no larger than chance explains."""
        return self.error <= self.by_chance

    def to_json(self) -> dict[str, object]:
        return {**vars(self), "found": [each.to_json() for each in self.found]}


def reliability(probability: np.ndarray, so: np.ndarray, of: str, seed: int = 0) -> Reliability:
    """Bins of as many rows each, by increasing probability; equal probabilities share a bin.

    Args:
        probability, so: (n,), and whether it is so.
        of: in words.
        seed: of the draws that tell what chance explains.
    """
    number = int(np.clip(len(so) // ROWS, 1, BINS))
    inner = np.unique(np.quantile(probability, np.linspace(0, 1, number + 1)[1:-1]))
    place = np.unique(np.searchsorted(inner, probability, side="right"), return_inverse=True)[1]
    rows = np.bincount(place)
    said, right = np.bincount(place, probability) / rows, np.bincount(place, so)
    spread = np.sqrt(np.bincount(place, probability * (1 - probability))) / rows
    drawn = np.abs(np.random.default_rng(seed).normal(size=(DRAWS, len(rows))) * spread) @ rows / len(so)
    error = float(np.sum(np.abs(said - right / rows) * rows) / len(so))
    found = tuple(share_of(int(number), int(of_rows)) for number, of_rows in zip(right, rows, strict=True))
    return Reliability(of, tuple(said.tolist()), found, tuple(rows.tolist()), error, float(np.quantile(drawn, 0.95)))
