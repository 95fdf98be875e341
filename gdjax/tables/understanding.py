"""What a table is understood to hold: the features and their kinds, the target and its task."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gdjax.tables.cells import cells_of, is_text
from gdjax.tables.columns import COUNTS, Column, recognize
from gdjax.tables.copies import copied
from gdjax.tables.duplicates import copies_of_pixels, copy_groups
from gdjax.tables.target import Target, read_target
from gdjax.tables.wishes import Wishes, apart
from gdjax.text import listing

if TYPE_CHECKING:
    import pandas

    from gdjax.data.table import Table


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Understanding:
    """What a table is understood to hold; it prints as what `gdjax data FILE --target y` says.

    Args:
        name, origin, notes: of the table.
        columns, left_out: the columns that are features, and the others, each with its kind and the reason.
        target, task, reason: the column to predict, "classification" or "regression", and why.
        has_numbers: whether the target holds numbers.
        classes: the labels as they stand in the file, in natural order; () for a regression.
        y: one entry a row of the table: float64, or int32 positions in `classes`; NaN or -1 where there is none.
        copies: for each row a number that its exact copies share.
        remarks: what is suspicious, each a sentence.
        wishes: what the user has said of the columns.
        shape: of rows that are images or series; then no column is a feature.
    """

    name: str
    origin: str
    notes: tuple[str, ...]
    columns: tuple[Column, ...]
    left_out: tuple[Column, ...]
    target: str
    task: str
    reason: str
    has_numbers: bool
    classes: tuple[str, ...]
    y: np.ndarray
    copies: np.ndarray
    remarks: tuple[str, ...]
    wishes: Wishes
    shape: tuple[int, ...] = ()

    @property
    def rows(self) -> np.ndarray:
        """The rows that have a target, in order."""
        return np.flatnonzero(self.y >= 0 if self.classes else ~np.isnan(self.y))

    def __repr__(self) -> str:
        from gdjax.tables.printing import told

        return told(self)


def understand(
    table: Table,
    target: str | None = None,
    *,
    task: str | None = None,
    drop: Sequence[str] = (),
    id: Sequence[str] = (),
    only: Sequence[str] = (),
    categorical: Sequence[str] = (),
    numeric: Sequence[str] = (),
) -> Understanding:
    """Recognize the kind of each column of a table, and the task of its target.

    Args:
        target: the column to predict (default: the last).
        task: "classification" or "regression" (default: by the rule of `gdjax.data.decision`).
        drop, id: columns that are no features; `id` for those that name rows or groups.
        only: the only columns that are features, whatever they look like.
        categorical, numeric: columns that are features of this kind, whatever they look like. "a,b" stands for two names.

    Raises: ValueError, in one line, for a column that is not there, a target of one value or with no number to regress on,
        and a table without a feature.

    >>> import pandas
    >>> houses = pandas.DataFrame({"id": range(20), "area": [50.5, 80.0] * 10, "garden": ["yes", "no"] * 10})
    >>> table = gd.data.Table(houses.assign(price=np.arange(20) ** 0.5), "houses", "20 rows")
    >>> [(column.name, column.kind) for column in gd.tables.understand(table, "price").columns]
    [('area', 'number'), ('garden', 'yes/no')]
    """
    from gdjax.tables.remarks import suspicions

    names = list(table.frame.columns)
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(
            f"columns must have different names, got {listing([repr(each) for each in twice])} more than once"
        )
    if not names:
        said = "".join(f"; {note}" for note in table.notes)
        raise ValueError(f"{table.origin}: there is no column to predict beside the pixels{said}")
    name = str(names[-1]) if target is None else target
    wishes = Wishes(*(apart(each, names) for each in (drop, id, only, categorical, numeric)))
    wishes.check(names, name)
    goal = read_target(table, name, task)
    columns = _columns(table, goal, name, wishes)
    used, left = (tuple(each for each in columns if each.used is wanted) for wanted in (True, False))
    if not used and table.pixels is None:
        said = "; ".join(f"{each.name!r}: {each.kind}, {each.reason}" for each in left)
        raise ValueError(f"there must be at least one feature beside the target {name!r}, got {said or 'that alone'}")
    names = [each.name for each in used]
    copies = copy_groups(table.frame, names, goal) if table.pixels is None else copies_of_pixels(table.pixels, goal)
    return Understanding(
        name=table.name,
        origin=table.origin,
        notes=table.notes,
        columns=used,
        left_out=left,
        target=name,
        task=goal.decision.task,
        reason=goal.decision.reason,
        has_numbers=not is_text(cells_of(table.frame, name)) and goal.column.kind != "yes/no",
        classes=goal.classes,
        y=goal.y,
        copies=copies.group,
        remarks=suspicions(table, used, goal, copies),
        wishes=wishes,
        shape=table.shape,
    )


def _columns(table: Table, goal: Target, target: str, wishes: Wishes) -> tuple[Column, ...]:
    """All columns but the target; beside pixels none is a feature."""
    if table.pixels is None:
        return recognize_columns(table.frame, goal.y, goal.present(), goal.decision.task, target, wishes)
    for option in ("only", "categorical", "numeric"):
        if getattr(wishes, option):
            raise ValueError(f"`{option}` is of the columns of a table, the rows of {table.name} are images or series")
    return tuple(Column(name, "not used", "beside the pixels") for name in table.frame.columns if name != target)


def recognize_columns(
    frame: pandas.DataFrame, y: np.ndarray, there: np.ndarray, task: str, target: str, wishes: Wishes
) -> tuple[Column, ...]:
    """All columns but the target, in order.

    A copy of the target or a number of the row is left out only if another feature remains.

    Args:
        y, there: the target in these rows, and the mask of those that have one.
    """
    names = [name for name in frame.columns if name != target]
    columns = [wishes.column(cells_of(frame, name)) for name in names]
    rest = [_without_copies(column, frame, y, there, task, wishes) for column in columns]
    if any(column.used for column in rest):
        return tuple(rest)
    return tuple(_counter_as_number(column, cells_of(frame, column.name)) for column in columns)


def _counter_as_number(column: Column, series: pandas.Series) -> Column:
    return recognize(series, "number") if column.reason == COUNTS else column


def _without_copies(
    column: Column, frame: pandas.DataFrame, y: np.ndarray, there: np.ndarray, task: str, wishes: Wishes
) -> Column:
    if not column.used or wishes.demand(column.name):
        return column
    reason = copied(column, frame.loc[there, column.name], y[there], task)
    return dataclasses.replace(column, kind="copy of the target", reason=reason) if reason else column
