"""A column of a table and its kind, which is recognized from its cells and its name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from gdjax.data.names import COUNTING, NAMING, says
from gdjax.data.readers.columns import Options, decide
from gdjax.tables.cells import are_whole, is_text, name_of, numbers, texts
from gdjax.tables.dates import date_format, read_dates, shown

if TYPE_CHECKING:
    import pandas

USED = ("number", "category", "text with few levels", "yes/no", "date")
LEFT_OUT = ("identifier", "constant", "copy of the target", "not used")  # the last by the user's word
FEW_LEVELS = 64
PROBE = 200  # cells that are tried first
OWN = 0.95  # share of distinct cells in a column that identifies rows
PAIRS = frozenset(
    frozenset(pair.split())
    for pair in (
        "yes no",
        "y n",
        "true false",
        "t f",
        "on off",
        "ja nein",
        "j n",
        "oui non",
        "si no",
        "sí no",
        "sim não",
    )
)
COUNTS = "it counts the rows"
POSITIVE = frozenset(["yes", "y", "true", "t", "on", "ja", "j", "oui", "si", "sí", "sim", "1"])
NEGATIVE = frozenset(["no", "n", "false", "f", "off", "nein", "non", "não", "0"])


@dataclasses.dataclass(frozen=True)
class Column:
    """A column and what it holds.

    Args:
        name, kind: one of USED or LEFT_OUT.
        reason: why it has this kind, if that is not what its cells say by themselves.
        missing, spoiled: the number of cells without a value, and of those that are no number, or no date, where it is one
            of numbers or dates.
        low, high: the smallest and largest number; the first and last date, as text.
        levels: of a category, the most frequent first.
        format: of dates.
    """

    name: str
    kind: str
    reason: str = ""
    missing: int = 0
    spoiled: int = 0
    low: float | str | None = None
    high: float | str | None = None
    levels: tuple[str, ...] = ()
    format: str = ""

    @property
    def used(self) -> bool:
        return self.kind in USED

    def span(self) -> str:
        """Range or levels, in a few words."""
        if self.levels:
            more = f", ... ({len(self.levels)} levels)" if len(self.levels) > 5 else ""
            return ", ".join(self.levels[:5]) + more
        if self.low is None or self.high is None:
            return ""
        return between(self.low, self.high)


def between(low: float | str, high: float | str) -> str:
    """A range in words, with as many digits as tell its ends apart."""
    ends = [[each if isinstance(each, str) else _digits(each, most) for each in (low, high)] for most in (6, 12, 17)]
    return " to ".join(next((pair for pair in ends if pair[0] != pair[1]), ends[0]))


def _digits(x: float, most: int) -> str:
    return f"{x + 0:.0f}" if x == round(x) and abs(x) < 1e15 else f"{x:.{most}g}"


def recognize(series: pandas.Series, forced: str | None = None) -> Column:
    """The kind of a column.

    Args:
        series: its cells, whose index is the number of the row in the table.
        forced: "number" or "category", where the user has said so.

    Raises: ValueError where numbers are demanded and none are there.
    """
    name, missing = str(series.name), int(series.isna().sum())
    if forced is None:
        alone = _constant(series, missing)
        if alone is not None:
            return Column(name, "constant", alone, missing)
    if forced == "category":
        return _of_levels(series, missing, "as asked")
    found = None if forced else date_format(series)
    if found is not None:
        return _of_dates(series, missing, found)
    return _of_text(series, missing, forced) if is_text(series) else _of_numbers(series, missing, forced)


def _constant(series: pandas.Series, missing: int) -> str | None:
    if missing == len(series):
        return "no cell has a value"
    first = series.iloc[0]
    if missing or not (series == first).all():
        return None
    return f"all cells are {texts(series.iloc[:1]).iloc[0]!r}"


def _of_dates(series: pandas.Series, missing: int, found: str) -> Column:
    times = read_dates(series.dropna(), found)[0]
    low, high = (shown(each, found) for each in (times.min(), times.max()))
    return Column(name_of(series), "date", "", missing, 0, low, high, format=found)


def _of_numbers(series: pandas.Series, missing: int, forced: str | None) -> Column:
    values, spoiled = numbers(series)
    number = Column(name_of(series), "number", "", missing, int(spoiled.sum()), *_extremes(values))
    if series.dtype.kind == "b":
        return dataclasses.replace(number, kind="yes/no", low=None, high=None, levels=("False", "True"))
    if forced or not are_whole(values):
        return number
    reason = _identifies(series, values)
    if reason:
        return dataclasses.replace(number, kind="identifier", reason=reason)
    named = says(name_of(series), frozenset(("id", "ids", "identifier")))
    return _of_levels(series, missing, f"its name says {named}") if named else number


def _extremes(values: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    present = values[~np.isnan(values)]
    return (float(present.min()), float(present.max())) if len(present) else (None, None)


def _identifies(series: pandas.Series, values: np.ndarray) -> str | None:
    """Why whole numbers identify rows: they count the rows, or name them and hardly ever twice."""
    rows = np.asarray(series.index) if series.index.dtype.kind == "i" else np.arange(len(series))
    offsets = values - rows
    counts = len(values) > 9 and offsets[0] in (0, 1) and bool(np.all(offsets == offsets[0]))
    if counts and not says(name_of(series), COUNTING) and len(name_of(series)) > 1:
        return COUNTS
    named, present = says(name_of(series), NAMING), values[~np.isnan(values)]
    if named and len(present) and len(np.unique(present)) >= OWN * len(present):
        return f"its name says {named}, and its numbers are all different"
    return None


def _of_text(series: pandas.Series, missing: int, forced: str | None) -> Column:
    if not forced and not _are_numbers(series):
        return _of_levels(series, missing)
    values, spoiled = numbers(series)
    if spoiled.sum() == len(series) - missing:
        raise ValueError(f"column {series.name!r} has no number, such as {series.dropna().iloc[0]!r}")
    reason, count = "as asked" if forced else "", int(spoiled.sum())
    return Column(name_of(series), "number", reason, missing, count, *_extremes(values))


def _are_numbers(series: pandas.Series) -> bool:
    """True if a reader of files takes these cells as numbers, a few spoiled ones among them; False for codes as 01234."""
    cells = texts(series.dropna())
    few = cells.iloc[np.linspace(0, len(cells) - 1, min(len(cells), PROBE)).astype(int)]
    fitting = (decide(name_of(series), each, Options()) for each in (few, cells))
    return all(each.problems or each.values.dtype.kind in "if" for each in fitting)


def _of_levels(series: pandas.Series, missing: int, asked: str = "") -> Column:
    counts, present = texts(series).value_counts(), len(series) - missing
    if not asked and present >= 10 and len(counts) >= OWN * present:
        said = f"{len(counts):,} different texts in {present:,} cells"
        return Column(name_of(series), "identifier", said, missing)
    levels = by_frequency(counts)
    column = Column(name_of(series), "category", asked, missing, levels=levels)
    if asked or len(levels) > FEW_LEVELS:
        return column
    return dataclasses.replace(column, kind="yes/no" if are_pair(levels) else "text with few levels")


def are_pair(levels: Iterable[str]) -> bool:
    """True for yes and no, in any language and spelling of PAIRS."""
    return frozenset(level.strip().casefold() for level in levels) in PAIRS


def by_frequency(counts: pandas.Series) -> tuple[str, ...]:
    """The levels with their counts as an index, the most frequent first, those of one count in alphabetical order."""
    return tuple(counts.sort_index().sort_values(ascending=False, kind="stable").index)
