"""The encoding of one column: numbers, yes or no, levels, dates.

Each encoder is a frozen dataclass of plain values, fitted on the cells of the training rows; `read` takes the cells of any
rows and returns their features and what is to be said of them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdjax.tables.cells import needs, numbers, texts
from gdjax.tables.columns import FEW_LEVELS, NEGATIVE, POSITIVE, by_frequency
from gdjax.tables.dates import has_day, read_dates
from gdjax.tables.number_map import FAR, NumberMap, deviations, fit_map

if TYPE_CHECKING:
    import pandas

RARE = 5  # rows of a level, below which it is not told apart; fewer in a table of fewer than 100 rows
PARTS = ("month", "time", "weekday")  # of dates, in the order of their features
DAY = 86_400_000_000  # microseconds


class Found(NamedTuple):
    """Features of cells, (n, width) float64, and masks of what is to be said of them, by "spoiled", "outside" ..."""

    features: np.ndarray
    masks: dict[str, np.ndarray]


class Fitting(NamedTuple):
    """How numbers are encoded: the form, whether by ranks where some are far, whether those out of range are moved to it."""

    form: str
    ranks: bool
    bounded: bool = False


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Numbers; missing ones are taken as the median and, if there are any in the training rows, marked by a feature.

    Args:
        low, high, median: of the training rows.
        map: None if all training rows have the same number.
        deviations: of the farthest number, where it is the reason for an encoding by ranks, else 0.
        bounded: whether a number outside the range of the training rows is taken as its nearest end.
    """

    name: str
    low: float
    high: float
    median: float
    map: NumberMap | None
    marks_missing: bool
    deviations: float = 0.0
    bounded: bool = False

    @staticmethod
    def fit(series: pandas.Series, fitting: Fitting) -> Numbers:
        x, spoiled = numbers(series)
        return Numbers.of(str(series.name), x[~np.isnan(x)], bool((np.isnan(x) & ~spoiled).any()), fitting)

    @staticmethod
    def of(name: str, x: np.ndarray, has_missing: bool, fitting: Fitting) -> Numbers:
        """Fitted to numbers that are all present."""
        low, high, median = (float(each) for each in (x.min(), x.max(), np.median(x)))
        far = deviations(x, median) if fitting.ranks else 0.0
        number = fit_map(x, fitting.form, far > FAR) if low < high else None
        deviations_told = far if far > FAR and number else 0.0
        return Numbers(name, low, high, median, number, has_missing, deviations_told, fitting.bounded)

    @property
    def names(self) -> tuple[str, ...]:
        width = self.map.width if self.map else 0
        bins = (self.name,) * width if width < 2 else tuple(f"{self.name} bin {i + 1}" for i in range(width))
        return (*bins, f"{self.name} missing") if self.marks_missing else bins

    def read(self, series: pandas.Series) -> Found:
        x, spoiled = numbers(series)
        return self.encode(x, spoiled)

    def encode(self, x: np.ndarray, spoiled: np.ndarray) -> Found:
        """The features of numbers, NaN where one is missing or spoiled."""
        absent = np.isnan(x)
        missing = absent & ~spoiled
        known = np.where(absent, self.median, np.clip(x, self.low, self.high) if self.bounded else x)
        parts = [self.map.apply(known)] if self.map else []
        parts += [missing[:, None]] if self.marks_missing else []
        masks = {"spoiled": spoiled, "outside": (x < self.low) | (x > self.high)}
        return Found(np.concatenate(parts, axis=1), masks | ({} if self.marks_missing else {"missing": missing}))


@dataclasses.dataclass(frozen=True)
class YesNo:
    """Yes and no, in any spelling, as the numbers 1 and 0; what is neither is an unseen level and taken as missing."""

    name: str
    numbers: Numbers

    @staticmethod
    def fit(series: pandas.Series, fitting: Fitting) -> YesNo:
        x = _yes_or_no(series)
        return YesNo(str(series.name), Numbers.of(str(series.name), x[~np.isnan(x)], bool(np.isnan(x).any()), fitting))

    @property
    def names(self) -> tuple[str, ...]:
        return self.numbers.names

    def read(self, series: pandas.Series) -> Found:
        x = _yes_or_no(series)
        found = self.numbers.encode(x, np.zeros(len(x), bool))
        unseen = np.isnan(x) & series.notna().to_numpy()
        masks = {name: mask & ~unseen for name, mask in found.masks.items() if name == "missing"}
        return Found(found.features, masks | {"unseen": unseen})


def _yes_or_no(series: pandas.Series) -> np.ndarray:
    cells = texts(series).str.strip().str.casefold()
    return np.where(cells.isin(POSITIVE), 1.0, np.where(cells.isin(NEGATIVE), 0.0, np.nan))


@dataclasses.dataclass(frozen=True)
class Levels:
    """A feature for each level of a category, up to FEW_LEVELS of them, and one for all others.

    Where there are more, a feature is the place of the level in the order of their frequencies, standardized.

    Args:
        levels, rare: the levels of the training rows, the most frequent first; the rare ones are not told apart.
        has_missing: whether training rows have missing cells.
        order: of the place in the order of frequencies; None for few levels.
    """

    name: str
    levels: tuple[str, ...]
    rare: tuple[str, ...]
    has_missing: bool
    order: NumberMap | None

    @staticmethod
    def fit(series: pandas.Series, fitting: Fitting) -> Levels:
        cells = texts(series)
        counts = needs("pandas").Series(cells.value_counts())
        is_frequent = counts >= min(RARE, len(series) / 20)
        levels, rare = by_frequency(counts[is_frequent]), by_frequency(counts[~is_frequent])
        draft = Levels(str(series.name), levels, rare, bool(series.isna().any()), None)
        if len(levels) <= FEW_LEVELS:
            return draft
        places = np.minimum(draft._places(cells), len(levels))
        return dataclasses.replace(draft, order=fit_map(places.astype(float), "standardized", False))

    @property
    def told_apart(self) -> tuple[str, ...]:
        return self.levels[:FEW_LEVELS]

    @property
    def has_others(self) -> bool:
        return len(self.levels) > FEW_LEVELS or len(self.rare) > 0

    @property
    def names(self) -> tuple[str, ...]:
        if not self.levels and not self.has_missing:
            return ()
        hot = [f"{self.name}={level}" for level in self.told_apart]
        hot += [f"{self.name} other"] * self.has_others + [f"{self.name} missing"] * self.has_missing
        return (*hot, f"{self.name} order") if self.order else tuple(hot)

    def read(self, series: pandas.Series) -> Found:
        cells = texts(series)
        places, missing = self._places(cells), series.isna().to_numpy()
        unseen = (places == len(self.levels) + len(self.rare)) & ~missing
        few = len(self.told_apart)
        others = few if self.has_others else -1
        hot = np.where(places < few, places, others)
        hot[missing] = few + self.has_others if self.has_missing else 0  # the most frequent level
        features = (hot[:, None] == np.arange(few + self.has_others + self.has_missing)).astype(float)
        if self.order:
            places = np.minimum(places, len(self.levels)).astype(float)
            features = np.concatenate([features, self.order.apply(places)], axis=1)
        masks = {"unseen": unseen} | ({} if self.has_missing else {"missing": missing})
        return Found(features, masks)

    def _places(self, cells: pandas.Series) -> np.ndarray:
        """The place of each cell's level in the order of frequencies; the number of levels for any other cell."""
        known = needs("pandas").Index((*self.levels, *self.rare), dtype="str")
        found = known.get_indexer(cells)
        return np.where(found < 0, len(known), found)


@dataclasses.dataclass(frozen=True)
class Dates:
    """Year and days elapsed as numbers, month and time of day on a circle, a feature for each day of the week.

    A part that is the same in all training rows is left out.

    Args:
        format: in which the cells are read.
        start, median: microseconds since 1970, of the first and the median date of the training rows.
        year, elapsed: None where they are left out.
        parts: of PARTS.
    """

    name: str
    format: str
    start: int
    median: int
    year: Numbers | None
    elapsed: Numbers | None
    parts: tuple[str, ...]
    marks_missing: bool

    @staticmethod
    def fit(series: pandas.Series, fitting: Fitting, format: str) -> Dates:
        times, spoiled = read_dates(series, format)
        present = np.sort(times[~np.isnat(times)].astype(np.int64))
        calendar, name = _calendar(present), str(series.name)
        varies = {part for part, values in calendar.items() if values.min() < values.max()}
        if not has_day(format):
            varies &= {"time"}
        start, median = int(present[0]), int(present[len(present) // 2])
        numeric = {"year": calendar["year"], "elapsed": (present - start) / DAY}
        fitted = {
            part: Numbers.of(f"{name} {part}", x, False, fitting._replace(ranks=False))
            for part, x in numeric.items()
            if has_day(format) and x.min() < x.max()
        }
        parts = tuple(part for part in PARTS if part in varies)
        missing = bool((np.isnat(times) & ~spoiled).any())
        return Dates(name, format, start, median, fitted.get("year"), fitted.get("elapsed"), parts, missing)

    @property
    def names(self) -> tuple[str, ...]:
        found = [name for each in (self.year, self.elapsed) if each for name in each.names]
        found += [f"{self.name} {part} {wave}" for part in self.parts if part != "weekday" for wave in ("sin", "cos")]
        days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun") if "weekday" in self.parts else ()
        return (*found, *(f"{self.name} {day}" for day in days), *([f"{self.name} missing"] * self.marks_missing))

    def read(self, series: pandas.Series) -> Found:
        times, spoiled = read_dates(series, self.format)
        absent = np.isnat(times)
        moments = np.where(absent, self.median, times.astype(np.int64))
        calendar, no = _calendar(moments), np.zeros(len(moments), bool)
        days, outside = (moments - self.start) / DAY, no
        parts = [self.year.encode(calendar["year"], no).features] if self.year else []
        if self.elapsed:
            found = self.elapsed.encode(days, no)
            parts, outside = [*parts, found.features], found.masks["outside"]
        parts += [_on_a_circle(calendar[part]) for part in self.parts if part != "weekday"]
        parts += [calendar["weekday"][:, None] == np.arange(7)] if "weekday" in self.parts else []
        missing = absent & ~spoiled
        parts += [missing[:, None]] if self.marks_missing else []
        masks = {"spoiled": spoiled, "outside": outside} | ({} if self.marks_missing else {"missing": missing})
        return Found(np.concatenate(parts, axis=1), masks)


def _calendar(moments: np.ndarray) -> dict[str, np.ndarray]:
    """Year, month as a share of the year, weekday from 0 on (Monday), and time of day as a share of the day."""
    times = moments.astype("datetime64[us]")
    months, days = times.astype("datetime64[M]").astype(np.int64), times.astype("datetime64[D]").astype(np.int64)
    return {
        "year": 1970.0 + months // 12,
        "month": months % 12 / 12,
        "weekday": (days + 3) % 7,
        "time": moments % DAY / DAY,
    }


def _on_a_circle(share: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)], axis=1)
