"""Folds for cross-validation: each row is held out once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdjax.tables.row_split import Dealer

if TYPE_CHECKING:
    from gdjax.data.table import Table
    from gdjax.tables.understanding import Understanding


class Fold(NamedTuple):
    """The rows held out, and the rest, as sorted positions in the table."""

    rest: np.ndarray
    held_out: np.ndarray


def split_folds(
    understanding: Understanding,
    table: Table,
    k: int,
    *,
    seed: int = 0,
    group: str | None = None,
    time: str | None = None,
    rows: np.ndarray | None = None,
) -> tuple[Fold, ...]:
    """k folds of equal size by the rules of `split_rows`: by seed, stratified, copies and groups whole.

    With `time` the rows are cut into k + 1 spans of time, and the rest of a fold are the rows before those held out.

    Args:
        rows: those that are dealt (default: all that have a target).

    Raises: ValueError for fewer rows, groups or times than folds.

    >>> import pandas
    >>> frame = pandas.DataFrame({"x": np.arange(10) ** 1.5, "y": ["a", "b"] * 5})
    >>> table = gd.data.Table(frame, "numbers", "10 rows")
    >>> folds = gd.tables.split_folds(gd.tables.understand(table, "y"), table, 5)
    >>> [len(fold.held_out) for fold in folds]
    [2, 2, 2, 2, 2]
    """
    dealer = Dealer(understanding, table, seed, group, time)
    rows = dealer.rows if rows is None else np.intersect1d(dealer.rows, rows)
    if k < 2:
        raise ValueError(f"`cv={k}`: at least 2 folds are needed")
    parts = k + (time is not None)
    fold = dealer.deal(rows, np.full(parts, 1 / parts)) if parts <= len(rows) else rows[:0]
    if len(np.unique(fold)) < parts:
        raise ValueError(f"`cv={k}`: every fold must get a row, got {len(rows):,} rows in {len(np.unique(fold))} folds")
    if time is not None:
        return tuple(Fold(rows[fold < i], rows[fold == i]) for i in range(1, parts))
    return tuple(Fold(rows[fold != i], rows[fold == i]) for i in range(parts))
