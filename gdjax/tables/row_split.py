"""The split of a table's rows: training, validation, calibration and test."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gdjax.tables.cells import cells_of, needs
from gdjax.tables.dealing import deal_rows
from gdjax.tables.time_order import cut, times_of
from gdjax.text import near

if TYPE_CHECKING:
    from gdjax.data.table import Table
    from gdjax.tables.understanding import Understanding

NAMES = ("training", "validation", "calibration", "test")
CALIBRATED = 200  # validation rows from which on half of them are for calibration
TRAIN, VALIDATION, TEST, CALIBRATION = range(4)


@dataclasses.dataclass(frozen=True, eq=False)
class RowSplit:
    """The rows of each part, as sorted positions in the table, and what is worth knowing about them."""

    train: np.ndarray
    validation: np.ndarray
    calibration: np.ndarray
    test: np.ndarray
    remarks: tuple[str, ...] = ()

    def sizes(self) -> dict[str, int]:
        """The number of rows of each part, by its name."""
        parts = (self.train, self.validation, self.calibration, self.test)
        return {name: len(rows) for name, rows in zip(NAMES, parts, strict=True)}

    def __repr__(self) -> str:
        sizes = ", ".join(f"{size:,} {name}" for name, size in self.sizes().items())
        return "\n".join([f"split: {sizes} rows", *(f"  - {remark}" for remark in self.remarks)])


def split_rows(
    understanding: Understanding,
    table: Table,
    *,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    group: str | None = None,
    time: str | None = None,
    test_rows: np.ndarray | None = None,
    calibration: float | None = None,
) -> RowSplit:
    """Deal the rows that have a target to four parts, at random by the seed and stratified by class.

    Exact copies of a row stay in one part. The same seed gives the same split on every machine.

    Args:
        fractions: shares of training, validation (calibration rows among them) and test rows; the last may be 0.
        group: a column whose rows of one value stay in one part.
        time: a column of dates or numbers: later rows are for validation, the latest for test; equal times stay together.
        test_rows: the rows for testing, where they are given; the others are dealt by the first two fractions.
        calibration: share of the validation rows which are for calibration (default: half of them for a regression with at
            least 200, else none).

    Raises: ValueError, in one line, for wrong fractions, a column that is not there, and a part left without rows.

    >>> import pandas
    >>> frame = pandas.DataFrame({"x": np.arange(100) ** 1.5, "y": ["a", "b"] * 50})
    >>> table = gd.data.Table(frame, "numbers", "100 rows")
    >>> gd.tables.split_rows(gd.tables.understand(table, "y"), table)
    split: 70 training, 15 validation, 0 calibration, 15 test rows
    """
    dealer = Dealer(understanding, table, seed, group, time)
    shares = _shares(fractions, test_rows is not None)
    rows = dealer.rows if test_rows is None else np.setdiff1d(dealer.rows, test_rows)
    part = dealer.deal(rows, shares)
    for i in np.flatnonzero(shares).tolist():
        if not np.any(part == i):
            name = NAMES[i] if i < TEST else "test"
            raise ValueError(
                f"split: every part must get a row, got none of {len(rows):,} for {name} ({fractions[i]:g})"
            )
    test = rows[part == TEST] if test_rows is None else np.intersect1d(dealer.rows, test_rows)
    validation = rows[part == VALIDATION]
    reserved = dealer.deal(validation, _calibration_shares(understanding, len(validation), calibration)) == 1
    return RowSplit(
        *(rows[part == TRAIN], validation[~reserved], validation[reserved], test),
        remarks=(*dealer.remarks, *_spread(understanding, rows[part == TRAIN], test)),
    )


def _shares(fractions: Sequence[float], test_is_given: bool) -> np.ndarray:
    shares = np.array(fractions, float)
    wanted = "three shares, the first two positive and the last at least 0, that sum to 1"
    if shares.shape != (3,) or not np.all(shares[:2] > 0) or not shares[2] >= 0 or abs(shares.sum() - 1) > 1e-4:
        raise ValueError(f"`split`: {wanted} are needed, got {tuple(fractions)}")
    shares[TEST] *= not test_is_given
    return shares / shares.sum()


def _calibration_shares(understanding: Understanding, rows: int, share: float | None) -> np.ndarray:
    default = 0.5 if understanding.task == "regression" and rows >= CALIBRATED else 0.0
    share = default if share is None else share
    if not 0 <= share < 1:
        raise ValueError(f"`calibration`: a share in [0, 1) is needed, got {share}")
    return np.array([1 - share, share])


def _spread(understanding: Understanding, train: np.ndarray, test: np.ndarray) -> list[str]:
    """A remark on classes without a training row."""
    if not understanding.classes:
        return []
    unseen = np.setdiff1d(np.arange(len(understanding.classes)), understanding.y[train])
    names = [repr(understanding.classes[i]) for i in unseen]
    return [f"no training row has the class {', '.join(names)}"] if names else []


class Dealer:
    """Deals rows of a table to parts: by time, or at random with copies and groups kept whole."""

    def __init__(
        self, understanding: Understanding, table: Table, seed: int, group: str | None, time: str | None
    ) -> None:
        self.remarks: list[str] = []
        self.generator = np.random.default_rng(seed)
        self.rows, self.times = understanding.rows, None
        self.labels = understanding.y if understanding.classes else np.zeros(len(table.frame), np.int32)
        self.groups = _copies(understanding, len(table.frame))
        for option, name in (("group", group), ("time", time)):
            if name is not None and name not in table.frame:
                close = near(name, table.frame)
                raise ValueError(
                    f"`{option}={name}`: there is no such column" + f"; did you mean {close!r}?" * bool(close)
                )
        if group is not None and time is not None:
            raise ValueError(f"`group={group}` and `time={time}` exclude each other")
        if group is not None:
            self._keep_together(table, group)
        if time is not None:
            self._order(table, time)

    def _keep_together(self, table: Table, group: str) -> None:
        self.groups = _joined(self.groups, needs("pandas").factorize(cells_of(table.frame, group))[0])
        self.remarks.append(f"all rows of one {group!r} stand in one part")

    def _order(self, table: Table, time: str) -> None:
        self.times = times_of(cells_of(table.frame, time))
        lost = np.isnan(self.times[self.rows])
        self.rows = self.rows[~lost]
        self.remarks.append(f"validation and test rows are later in {time!r} than training rows")
        if lost.any():
            self.remarks.append(f"{lost.sum():,} rows without a {time!r} are left out")

    def deal(self, rows: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """The number of the part of each of the rows; parts with a share of 0 get none."""
        parts = np.flatnonzero(shares)
        if len(parts) == 1:
            return np.full(len(rows), parts[0])
        if self.times is not None:
            return cut(self.times[rows], shares)
        labels, groups = (np.unique(each[rows], return_inverse=True)[1] for each in (self.labels, self.groups))
        return parts[deal_rows(labels, groups, shares[parts], self.generator)]


def _copies(understanding: Understanding, rows: int) -> np.ndarray:
    return np.arange(rows) if understanding.copies is None else understanding.copies


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Groups whose rows share a group in one of two divisions, or are connected by such rows; -1 in the second is none."""
    csgraph, sparse = needs("scipy.sparse.csgraph"), needs("scipy.sparse")
    there = second >= 0
    count = first.max() + 1
    edges = (np.ones(there.sum()), (first[there], count + second[there]))
    graph = sparse.coo_array(edges, shape=(count + second.max() + 1,) * 2)
    return csgraph.connected_components(graph, directed=False)[1][first]
