"""Rows in the order of time, cut into parts: the later ones for validation and test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdjax.tables.cells import numbers, texts
from gdjax.tables.dates import date_format, read_dates

if TYPE_CHECKING:
    import pandas


def times_of(series: pandas.Series) -> np.ndarray:
    """The times of a column of dates or numbers as float64, NaN where there is none.

    Raises: ValueError if the column holds neither.
    """
    found = date_format(series)
    if found is None:
        times, spoiled = numbers(series)
        if spoiled.any():
            cell, wanted = texts(series).iloc[int(spoiled.argmax())], "dates in one format, or numbers, are needed"
            raise ValueError(f"`time={series.name}`: {wanted}, got {cell!r}")
        return times
    dates = read_dates(series, found)[0]
    return np.where(np.isnat(dates), np.nan, dates.astype(np.int64))


def cut(times: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The number of the part of each row: parts follow each other in time, and rows of one time stay together.

    Raises: ValueError if there are fewer times than parts.
    """
    distinct, place, counts = np.unique(times, return_inverse=True, return_counts=True)
    parts = np.flatnonzero(shares)
    if len(distinct) < len(parts):
        raise ValueError(f"time: {len(parts)} parts need as many different times, got {len(distinct)}")
    ends, last = np.cumsum(counts), 0
    part = np.zeros(len(distinct), int)
    for i, share in enumerate(np.cumsum(shares[parts])[:-1]):
        room = ends[last : len(distinct) - (len(parts) - i - 1)]  # a time for each of the parts that follow
        last += int(abs(room - share * len(times)).argmin()) + 1
        part[last:] = parts[i + 1]
    return part[place]
