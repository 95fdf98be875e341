"""n-gram models with interpolated Witten-Bell smoothing: what a language model must beat.

    p(w | h) = (c(h w) + t(h) p(w | h')) / (c(h) + t(h))        p of no history: (c(w) + t / V) / (n + t)

c(h w) counts how often w follows the history h in the training text, t(h) how many different units do, and h' is h without
its first unit. The more often something new has followed h, the more of the probability goes to the shorter history.

Counts are a trie in arrays: an n-gram is the number of its first n - 1 units, which is an n-gram too, and its last unit.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from gdjax.calls import check_interval


class Level(NamedTuple):
    """The n-grams of one length that have occurred, and what has followed the histories that are one unit shorter."""

    keys: np.ndarray  # history * V + unit, ascending int64; the position of a key is the number of its n-gram
    counts: np.ndarray  # of each n-gram
    total: np.ndarray  # of each history, c(h)
    kinds: np.ndarray  # of each history, t(h)


@dataclasses.dataclass(frozen=True, eq=False)
class NGrams:
    """The counts of all n-grams up to an order; made by `fit_ngrams`."""

    vocabulary: int
    levels: tuple[Level, ...]

    @property
    def order(self) -> int:
        """Units of the longest history that has occurred, and the one after it."""
        return len(self.levels)

    def nats(self, tokens: np.ndarray, order: int | None = None) -> np.ndarray:
        """-log p of each unit after those before it in the text, (n,) float64; the first ones have short histories.

        Args:
            tokens: (n,) numbers below the size of the vocabulary.
            order: units of the longest history that is used, and the unit itself (default: as many as were counted).
        """
        tokens = np.asarray(tokens, np.int64)
        p = np.full(len(tokens), 1 / self.vocabulary)
        for length in range(self.order if order is None else min(order, self.order)):
            p[length:] = self._refine(p[length:], tokens, length)
        return -np.log(p)

    def _refine(self, p: np.ndarray, tokens: np.ndarray, length: int) -> np.ndarray:
        """The probabilities by histories of this length, from those by shorter ones."""
        level, units = self.levels[length], tokens[length:]
        history = self._numbers(tokens, length, len(units))
        known = history >= 0
        at = np.where(known, history, 0)
        total = np.where(known, level.total[at], 0)
        kinds = np.where(total > 0, level.kinds[at], 1)  # nothing has followed: the shorter history alone
        found = _find(level.keys, np.where(known, history * self.vocabulary + units, -1))
        counts = np.where(found >= 0, level.counts[np.maximum(found, 0)], 0)
        return (counts + kinds * p) / (total + kinds)

    def _numbers(self, tokens: np.ndarray, length: int, size: int) -> np.ndarray:
        """The number of the n-gram of this length that begins at each of the first positions, -1 if it has not occurred."""
        number = np.zeros(size, np.int64)
        for i in range(length):
            keys = np.where(number >= 0, number * self.vocabulary + tokens[i : i + size], -1)
            number = _find(self.levels[i].keys, keys)
        return number


def fit_ngrams(tokens: np.ndarray, vocabulary: int, order: int = 5) -> NGrams:
    """Count the n-grams of a text, up to an order.

    Args:
        tokens: (n,) numbers of a training text, below `vocabulary`.
        vocabulary: V, the number of different units.
        order: at least 1: 2 is a bigram model.

    Reference: Witten & Bell 1991, "The zero-frequency problem"; interpolated as in Chen & Goodman 1998.

    >>> model = gd.runs.fit_ngrams(np.array([0, 1, 0, 2]), vocabulary=3, order=2)
    >>> print(np.exp(-model.nats(np.array([0, 1]))))        # (2 + 3/3) / (4 + 3), then (1 + 2 * 2/7) / (2 + 2)
    [0.42857143 0.39285714]
    """
    check_interval("fit_ngrams", "order", order, "[1, inf)")
    tokens = np.asarray(tokens, np.int64)
    levels, history, histories = [], np.zeros(len(tokens), np.int64), 1
    for length in range(min(order, len(tokens))):
        keys, history, counts = np.unique(
            history * vocabulary + tokens[length:], return_inverse=True, return_counts=True
        )
        place = keys // vocabulary
        total, kinds = np.bincount(place, counts, histories), np.bincount(place, None, histories)
        levels.append(Level(keys, counts, total.astype(np.int64), kinds))
        history, histories = history[:-1], len(keys)
    return NGrams(vocabulary, tuple(levels))


def _find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The positions of the wanted in ascending keys, -1 where they are not there."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, -1)
