"""The split of a table's rows: training, validation, calibration and test."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gdjax.tables.cells import cells_of, needs
from gdjax.tables.dealing import deal_rows
from gdjax.tables.time_order import cut, times_of
from gdjax.text import listing, near

if TYPE_CHECKING:
    from gdjax.data.table import Table
    from gdjax.tables.understanding import Understanding

PARTS = ("training", "validation", "test")
CALIBRATED = 200  # validation rows from which on half of them are for calibration
TRAIN, VALIDATION, TEST = range(3)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RowSplit:
    """The rows of each part, as sorted positions in the table, and what is worth knowing about them."""

    train: np.ndarray
    validation: np.ndarray
    calibration: np.ndarray
    test: np.ndarray
    remarks: tuple[str, ...] = ()

    def sizes(self) -> dict[str, int]:
        """The number of rows of each part, by its name."""
        named = {
            "training": self.train,
            "validation": self.validation,
            "calibration": self.calibration,
            "test": self.test,
        }
        return {name: len(rows) for name, rows in named.items()}

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
    for i in np.setdiff1d(np.flatnonzero(shares), part).tolist():
        raise ValueError(
            f"split: every part must get a row, got none of {len(rows):,} for {PARTS[i]} ({fractions[i]:g})"
        )
    test = rows[part == TEST] if test_rows is None else np.intersect1d(dealer.rows, test_rows)
    validation = rows[part == VALIDATION]
    share = _calibration_share(understanding, dealer.most_parts(validation), len(validation), calibration)
    reserved = dealer.deal(validation, np.array([1 - share, share])) == 1
    return RowSplit(
        *(rows[part == TRAIN], validation[~reserved], validation[reserved], test),
        remarks=(*dealer.remarks, *_unseen(understanding, rows[part == TRAIN])),
    )


def _shares(fractions: Sequence[float], test_is_given: bool) -> np.ndarray:
    shares = np.array(fractions, float)
    wanted = "three shares, the first two positive and the last at least 0, that sum to 1"
    if shares.shape != (3,) or not np.all(shares[:2] > 0) or not shares[2] >= 0 or abs(shares.sum() - 1) > 1e-4:
        raise ValueError(f"`split`: {wanted} are needed, got {tuple(fractions)}")
    shares[TEST] *= not test_is_given
    return shares / shares.sum()


def _calibration_share(understanding: Understanding, parts: int, rows: int, share: float | None) -> float:
    """The share of the validation rows, which can be dealt to so many parts."""
    if share is None:
        return 0.5 if understanding.task == "regression" and rows >= CALIBRATED and parts > 1 else 0.0
    if not 0 <= share < 1:
        raise ValueError(f"`calibration`: a share in [0, 1) is needed, got {share}")
    return share


def _unseen(understanding: Understanding, train: np.ndarray) -> list[str]:
    """A remark on classes without a training row."""
    if not understanding.classes:
        return []
    unseen = np.setdiff1d(np.arange(len(understanding.classes)), understanding.y[train])
    names = [repr(understanding.classes[i]) for i in unseen]
    return [f"no training row has the class {listing(names)}"] if names else []


class Dealer:
    """Deals rows of a table to parts: by time, or at random with copies and groups kept whole."""

    seed: int
    deals: int
    rows: np.ndarray
    times: np.ndarray | None
    labels: np.ndarray
    groups: np.ndarray
    copies: np.ndarray

    def __init__(
        self, understanding: Understanding, table: Table, seed: int, group: str | None, time: str | None
    ) -> None:
        self.remarks: list[str] = []
        self.seed, self.deals = seed, 0
        self.rows, self.times = understanding.rows, None
        self.labels = understanding.y if understanding.classes else np.zeros(len(table.frame), np.int32)
        self.groups, self.copies = np.arange(len(table.frame)), understanding.copies
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
        found = needs("pandas").factorize(cells_of(table.frame, group))[0]  # -1 where it is missing: a group of its own
        self.groups = np.where(found < 0, len(found) + self.groups, found)
        self.remarks.append(f"all rows of one {group!r} stand in one part")

    def _order(self, table: Table, time: str) -> None:
        self.times = times_of(cells_of(table.frame, time))
        lost = np.isnan(self.times[self.rows])
        self.rows = self.rows[~lost]
        self.remarks.append(f"validation and test rows are later in {time!r} than training rows")
        if lost.any():
            self.remarks.append(f"{lost.sum():,} rows without a {time!r} are left out")

    def most_parts(self, rows: np.ndarray) -> int:
        """The number of groups, or of times: each stays whole."""
        return len(np.unique((self.groups if self.times is None else self.times)[rows]))

    def deal(self, rows: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """The number of the part of each of the rows; parts with a share of 0 get none."""
        parts = np.flatnonzero(shares)
        if len(parts) == 1:
            return np.full(len(rows), parts[0])
        if self.times is not None:
            return cut(self.times[rows], shares)
        labels, groups, copies = (
            np.unique(each[rows], return_inverse=True)[1] for each in (self.labels, self.groups, self.copies)
        )
        generator, self.deals = np.random.default_rng((self.seed, self.deals)), self.deals + 1
        return parts[deal_rows(labels, groups, copies, shares[parts], generator)]
