"""Rows that are exact copies of each other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdjax.tables.cells import needs

if TYPE_CHECKING:
    import pandas

    from gdjax.tables.target import Target

AGREE = 0.9  # share of the rows with the same features that have the same target too, from which on these are copies
MANY_VALUES = 50  # of a target: that two rows share one is no coincidence any more


class Copies(NamedTuple):
    """For each row the number of its group of copies, and how many rows are no copies although others are equal to them."""

    group: np.ndarray
    coincidences: int

    def extra(self) -> int:
        """The number of rows that repeat another one."""
        return len(self.group) - int(self.group.max()) - 1


def copy_groups(frame: pandas.DataFrame, features: Sequence[str], target: Target) -> Copies:
    """The rows that agree in all features and the target.

    They are copies of one observation if nearly all rows with these features have this target. Where targets differ, as in a
    table of a few categories, the rows are observations of their own which happen to be equal.
    """
    return _among(_equal(frame.loc[:, list(features)]), target)


def copies_of_pixels(pixels: np.ndarray, target: Target) -> Copies:
    """As `copy_groups`, of rows that are images or series."""
    rows = [hashlib.blake2b(np.ascontiguousarray(row), digest_size=16).digest() for row in pixels]
    return _among(needs("pandas").factorize(np.array(rows, object))[0], target)


def _among(alike: np.ndarray, target: Target) -> Copies:
    """The copies among rows that have the same number where their features are equal."""
    if alike.max() + 1 == len(alike):
        return Copies(alike, 0)
    labels = needs("pandas").factorize(target.y)[0]  # -1 for NaN
    equal = _equal(needs("pandas").DataFrame({"alike": alike, "labels": labels}))
    of_equals = np.bincount(equal)[equal]
    if labels.max() + 1 > MANY_VALUES:
        return Copies(equal, 0)
    apart = (of_equals > 1) & (of_equals < AGREE * np.bincount(alike)[alike])
    own = np.where(apart, len(alike) + np.arange(len(alike)), equal)
    return Copies(needs("pandas").factorize(own)[0], int(apart.sum()))


def _equal(frame: pandas.DataFrame) -> np.ndarray:
    """A number for each row, equal for rows with equal cells, missing ones too; counted by first appearance."""
    pandas = needs("pandas")
    return pandas.factorize(pandas.util.hash_pandas_object(frame, index=False))[0]
