"""Rows that are exact copies of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdjax.tables.cells import needs

if TYPE_CHECKING:
    import pandas

    from gdjax.tables.target import Target

AGREE = 0.9  # share of the rows with equal features whose targets are equal too, from which on they are copies
MANY_VALUES = 50  # of a target: that two rows share one is no coincidence any more


class Copies(NamedTuple):
    """For each row the number of its group of copies, and whether these are copies: see `copy_groups`."""

    group: np.ndarray
    are_copies: bool

    def extra(self) -> int:
        """The number of rows that repeat another one."""
        return len(self.group) - int(self.group.max()) - 1


def copy_groups(frame: pandas.DataFrame, features: Sequence[str], target: Target) -> Copies | None:
    """The rows that agree in all features and the target; None if there are none.

    Rows with the same features are copies of one observation if their targets are equal too. Where these differ, as in a
    table of a few categories, the rows are observations of their own which happen to have the same features.
    """
    alike, groups = _equal(frame.loc[:, list(features)]), None
    if alike.max() + 1 == len(alike):
        return None
    labels = needs("pandas").factorize(target.y)[0]  # -1 for NaN
    groups = _equal(needs("pandas").DataFrame({"alike": alike, "labels": labels}))
    if groups.max() + 1 == len(groups):
        return None
    if labels.max() + 1 > MANY_VALUES:
        return Copies(groups, True)
    repeated = np.bincount(alike)[alike] > 1
    agreeing = np.bincount(alike)[alike] == np.bincount(groups)[groups]
    return Copies(groups, bool(agreeing[repeated].mean() >= AGREE))


def _equal(frame: pandas.DataFrame) -> np.ndarray:
    """A number for each row, equal for rows with equal cells, missing ones too; counted by first appearance."""
    pandas = needs("pandas")
    return pandas.factorize(pandas.util.hash_pandas_object(frame, index=False))[0]
