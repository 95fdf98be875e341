"""A table as it was read from a file: named columns of numbers, text or dates, and what was recognized on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas


@dataclasses.dataclass(frozen=True)
class Table:
    """Named columns, and how they were read.

    Args:
        frame: one row per row of the file, in its order, with an index from 0; names of columns are distinct strings.
            A column is float64 or int64 (numbers, missing ones NaN), bool, datetime64, or of pandas' `str` (text as it
            stands in the file without surrounding blanks, missing cells NaN).
        name: a short name for titles, such as "houses".
        origin: what it was read from, such as "1,000 rows of houses.csv".
        notes: what was recognized, each a phrase such as "the delimiter is ';'".
        lines: the number of the line of each row in its file, for messages; None where a file has no lines.
        text: the text of the cells of those columns for which it was asked, beside their numbers: "01234" stays "01234".
        pixels: of rows that are images (n, height, width, channels) or series (n, length, channels), numbers of any dtype;
            the columns hold what else is known of the rows, the target among it.
        test_rows: how many of the rows, the last ones, are the test rows by the custom of this data.
    """

    frame: pandas.DataFrame
    name: str
    origin: str
    notes: tuple[str, ...] = ()
    lines: np.ndarray | None = None
    text: Mapping[str, pandas.Series] = dataclasses.field(default_factory=dict)
    pixels: np.ndarray | None = None
    test_rows: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a row that is an image or a series; () where rows have columns."""
        return () if self.pixels is None else self.pixels.shape[1:]

    def inputs(self, rows: np.ndarray | None = None) -> Any:
        """What is encoded, of these rows: the pixels where there are some, else the columns."""
        if self.pixels is not None:
            return self.pixels if rows is None else self.pixels[rows]
        return self.frame if rows is None else self.frame.iloc[rows]

    def place(self, row: int, column: str) -> str:
        """Where a cell stands, for messages: "line 7, column 'age'"."""
        where = f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"
        return f"{where}, column {column!r}"
