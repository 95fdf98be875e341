"""Dates: a column is one of dates where all its cells can be read in one format."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import numpy as np

from gdjax.tables.cells import is_dates, needs, texts

if TYPE_CHECKING:
    import pandas

ISO = "ISO8601"
DAYS = ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d")
NAMED = (
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%B %d, %Y",
    "%b %Y",
    "%B %Y",
    "%Y-%m",
    "%m/%Y",
    "%a, %d %b %Y",
)
SHORT = ("%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%d-%b-%y")
CLOCKS = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%H:%M:%S.%f")
FORMATS = (
    ISO,
    *(f"{day}{clock}" for day in (*DAYS, *NAMED, *SHORT) for clock in ("", *(f" {each}" for each in CLOCKS))),
)
AMBIGUOUS = {"%m/%d": "%d/%m", "%d/%m": "%m/%d", "%m-%d": "%d-%m", "%d-%m": "%m-%d"}
COMPACT = "%Y%m%d"
YEARS = 1900, 2100  # of dates that are written as one number, such as 20240131
PROBE = 200  # cells that are tried first


def date_format(series: pandas.Series) -> str | None:
    """The one format in which all cells are dates (or times of day), or None; it is what `read_dates` takes.

    Where both day/month and month/day fit all cells, the one in which the rows are in order is taken, else the first of
    the list.
    """
    if is_dates(series):
        return ISO
    if series.dtype.kind in "bcifu":
        return COMPACT if _are_in_range(series) and _are_compact(texts(series.dropna())) else None
    cells = texts(series.dropna()).str.strip()
    if not len(cells) or not cells.iloc[:PROBE].str.contains(r"\d", regex=True).all():
        return None
    if cells.iloc[:PROBE].str.fullmatch(r"[-+]?[\d.,]*\d[\d.,]*").all() and cells.iloc[0].count(".") != 2:
        return COMPACT if _are_compact(cells) else None
    few = cells.iloc[:PROBE]
    fitting = [each for each in (*FORMATS, *CLOCKS) if _is_date(cells.iloc[0], each) and _fits(few, each)]
    fitting = [each for each in fitting if _fits(cells, each)][:2]
    if len(fitting) == 2 and other_order(fitting[0]) == fitting[1]:
        ordered = [_read(cells, each).is_monotonic_increasing for each in fitting]
        return fitting[1] if ordered == [False, True] else fitting[0]
    return fitting[0] if fitting else None


def other_order(found: str) -> str | None:
    """The same format with day and month exchanged, if it has both as numbers and in front."""
    return AMBIGUOUS[found[:5]] + found[5:] if found[:5] in AMBIGUOUS else None


def is_ambiguous(series: pandas.Series, found: str) -> bool:
    """True if all cells are dates too with day and month exchanged."""
    other = other_order(found)
    return other is not None and not is_dates(series) and _fits(texts(series.dropna()).str.strip(), other)


def read_dates(series: pandas.Series, found: str) -> tuple[np.ndarray, np.ndarray]:
    """The cells as datetime64[us], NaT where one is missing or spoiled, and the mask of the spoiled ones."""
    times = series if is_dates(series) else _read(texts(series).str.strip(), found)
    if getattr(times.dtype, "tz", None) is not None:
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    read = times.to_numpy("datetime64[us]")
    return read, np.isnat(read) & series.notna().to_numpy()


def has_day(found: str) -> bool:
    """False for a format of times of day alone."""
    return found not in CLOCKS


def shown(time: np.datetime64, found: str) -> str:
    """A date for people: without a time of day at midnight, a time of day without its date."""
    day, _, clock = str(time.astype("datetime64[us]")).removesuffix(".000000").partition("T")
    return clock if not has_day(found) else day if clock == "00:00:00" else f"{day} {clock}"


def _are_in_range(series: pandas.Series) -> bool:
    """True if all numbers have the size of a date such as 20240131."""
    return bool(series.min() >= YEARS[0] * 10_000 and series.max() < YEARS[1] * 10_000)


def _are_compact(cells: pandas.Series) -> bool:
    return (
        bool(cells.str.fullmatch(r"(19|20)\d{6}").all())
        and _fits(cells.iloc[:PROBE], COMPACT)
        and _fits(cells, COMPACT)
    )


def _is_date(cell: str, found: str) -> bool:
    """True if one cell can be read in a format; much faster than `_fits`."""
    try:
        datetime.datetime.fromisoformat(cell) if found == ISO else datetime.datetime.strptime(cell, found)
    except ValueError:
        return False
    return True


def _fits(cells: pandas.Series, found: str) -> bool:
    return bool(_read(cells, found).notna().all())


def _read(cells: pandas.Series, found: str) -> pandas.Series:
    return needs("pandas").to_datetime(cells, format=found, errors="coerce", utc=found == ISO)
