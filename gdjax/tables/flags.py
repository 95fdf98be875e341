"""What is to be said of rows to predict: cells that are spoiled, outside the training range, unseen or missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

SAID = {
    "spoiled": "cannot be read",
    "outside": "outside the training range",
    "unseen": "a level without training rows",
    "missing": "missing, as in no training row",
    "unlike": "on another scale than in training rows",
}


class Flags(NamedTuple):
    """Masks of rows, by (column, what is said of its cell: one of SAID); without those of no row."""

    rows: int
    masks: dict[tuple[str, str], np.ndarray]

    def add(self, column: str, masks: Mapping[str, np.ndarray], start: int) -> None:
        """Note what is said of the cells of a column in the rows from `start` on."""
        for what, mask in masks.items():
            if mask.any():
                whole = self.masks.setdefault((column, what), np.zeros(self.rows, bool))
                whole[start : start + len(mask)] = mask

    @property
    def spoiled(self) -> np.ndarray:
        """The rows that have no features, since a cell is no number or no date where one is needed."""
        return self.of("spoiled")

    def of(self, what: str) -> np.ndarray:
        """The rows of which this is said for any column."""
        found = [mask for (_, said), mask in self.masks.items() if said == what]
        return np.logical_or.reduce(found) if found else np.zeros(self.rows, bool)

    def notes(self) -> list[str]:
        """A text for each row: "'age' outside the training range; 'city' ...", empty where nothing is to be said."""
        said: list[list[str]] = [[] for _ in range(self.rows)]
        for column, what in sorted(self.masks):
            for row in np.flatnonzero(self.masks[column, what]):
                said[row].append(f"{column!r} {SAID[what]}")
        return ["; ".join(each) for each in said]
