"""The encoding of a table: from its columns, matched by name, to features, as the training rows alone determine it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gdjax.tables.cells import cells_of
from gdjax.tables.columns import Column
from gdjax.tables.encoders import Dates, Fitting, Levels, Numbers, YesNo
from gdjax.tables.flags import Flags
from gdjax.tables.json_fields import plain, restored
from gdjax.tables.number_map import FAR, FORMS
from gdjax.tables.understanding import Understanding, recognize_columns
from gdjax.text import counted, listing, near

if TYPE_CHECKING:
    import pandas

Encoder: TypeAlias = Numbers | YesNo | Levels | Dates
ENCODERS: dict[str, type[Any]] = {"numbers": Numbers, "yes/no": YesNo, "levels": Levels, "dates": Dates}
KINDS: dict[str, type[Any]] = {"number": Numbers, "yes/no": YesNo, "category": Levels, "text with few levels": Levels}
VERSION = 1
BLOCK = 1 << 16  # rows that are encoded at a time


@dataclasses.dataclass(frozen=True, repr=False)
class Encoding:
    """Columns -> features, (n, d): what `fit_encoding` has learned from training rows.

    Args:
        encoders: one for each column that is used.
        remarks: what was left out or encoded in another way, and why.
    """

    encoders: tuple[Encoder, ...]
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        counts = f"{counted(len(self.feature_names), 'feature')} of {counted(len(self.encoders), 'column')}"
        return "\n".join([f"encoding: {counts}", *(f"  - {remark}" for remark in self.remarks)])

    @property
    def feature_names(self) -> tuple[str, ...]:
        """A name for each feature, such as "area", "city=Ulm", "area missing"."""
        return tuple(name for encoder in self.encoders for name in encoder.names)

    @property
    def width(self) -> int:
        """The number of features."""
        return sum(len(encoder.names) for encoder in self.encoders)

    @property
    def spans(self) -> dict[str, slice]:
        """The features of each column, by its name."""
        ends = np.cumsum([0, *(len(encoder.names) for encoder in self.encoders)]).tolist()
        return {each.name: slice(*ends[i : i + 2]) for i, each in enumerate(self.encoders)}

    def transform(self, frame: pandas.DataFrame, dtype: Any = np.float64) -> np.ndarray:
        """The features of rows, (n, d); all of a row are NaN if one of its cells is spoiled.

        Everything is computed in float64; with dtype float32 only the result is rounded, and no more than a block of rows
        is held in float64.

        Args:
            frame: columns are matched by name, in any order; others are ignored.

        Raises: ValueError that names all columns that are missing.
        """
        return self.encode(frame, dtype)[0]

    def flags(self, frame: pandas.DataFrame) -> Flags:
        """What is to be said of each row: spoiled cells, values outside the training range, unseen levels ..."""
        return self.encode(frame, np.float32)[1]

    def encode(self, frame: pandas.DataFrame, dtype: Any = np.float64) -> tuple[np.ndarray, Flags]:
        """What `transform` and `flags` give, in one pass."""
        self._check(frame)
        features, flags = np.empty((len(frame), len(self.feature_names)), dtype), Flags(len(frame), {})
        spans = self.spans
        for start in range(0, len(frame), BLOCK):
            rows, block = features[start : start + BLOCK], frame.iloc[start : start + BLOCK]
            for encoder in self.encoders:
                found = encoder.read(cells_of(block, encoder.name))
                rows[:, spans[encoder.name]] = found.features
                flags.add(encoder.name, found.masks, start)
        features[flags.spoiled] = np.nan
        return features, flags

    def differences(self, frame: pandas.DataFrame) -> tuple[str, ...]:
        """How the columns of a frame differ from those that are used, each difference a phrase."""
        names = [encoder.name for encoder in self.encoders]
        missing = [f"there is no column {name!r}{_hint(name, frame, names)}" for name in names if name not in frame]
        extra = [f"column {name!r} is not used" for name in frame if name not in names]
        return (*missing, *extra)

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """center, scale (d,) such that a feature is (value - center) / scale of the column's values; NaN where it is not."""
        pairs = [pair for encoder in self.encoders for pair in _affine(encoder)]
        center, scale = np.array(pairs, float).reshape(-1, 2).T
        return center, scale

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; numbers are written by it as they are, to the last bit."""
        kinds = {kind: name for name, kind in ENCODERS.items()}
        encoders = [{"kind": kinds[type(encoder)], **plain(encoder)} for encoder in self.encoders]
        return {"version": VERSION, "encoders": encoders, "remarks": list(self.remarks)}

    @staticmethod
    def from_json(entry: Any) -> Encoding:
        """The encoding that `to_json` wrote.

        Raises: ValueError for anything else, and for another version.
        """
        if not isinstance(entry, dict) or entry.get("version") != VERSION:
            found = entry.get("version") if isinstance(entry, dict) else type(entry).__name__
            raise ValueError(f"encoding: version {VERSION} is needed, got {found}")
        encoders, remarks = entry.get("encoders"), entry.get("remarks")
        if (
            not isinstance(encoders, list)
            or not isinstance(remarks, list)
            or not all(isinstance(x, str) for x in remarks)
        ):
            raise ValueError("encoding: lists of encoders and remarks are needed")
        return Encoding(tuple(_encoder(each) for each in encoders), tuple(remarks))

    def _check(self, frame: pandas.DataFrame) -> None:
        missing = [said for said in self.differences(frame) if said.startswith("there is no")]
        if missing:
            names = [repr(name) for name in frame]
            raise ValueError(f"{'; '.join(missing)}; there {'is' if len(names) == 1 else 'are'} {listing(names)}")


def fit_encoding(
    understanding: Understanding,
    frame: pandas.DataFrame,
    rows: np.ndarray,
    numbers: str = "standardized",
    *,
    ranks: bool = True,
    bounded: bool = False,
) -> Encoding:
    """Determine the encoding of the features from the given rows alone: no other row changes a bit of it.

    The kinds of the columns too are recognized in these rows alone; columns that are constant there are left out.

    Args:
        frame: of the table that was understood.
        rows: positions of the training rows.
        numbers: "standardized", or "piecewise_linear": between 8 quantiles, a feature for each bin.
        ranks: whether numbers are encoded by ranks where the farthest is more than 8 robust deviations from the median.
        bounded: whether a number outside the range of the training rows is taken as its nearest end, as for a network, whose
            answer far outside means nothing; a straight line goes on.

    Raises: ValueError if no column varies in these rows.

    >>> import pandas
    >>> frame = pandas.DataFrame({"x": [1.0, 3.0, 9.0] * 4, "city": ["Ulm", "Bonn", "Ulm"] * 4, "y": np.arange(12) ** 0.5})
    >>> understanding = gd.tables.understand(gd.data.Table(frame, "t", "12 rows"))
    >>> encoding = gd.tables.fit_encoding(understanding, frame, np.array([0, 1]))
    >>> print(encoding.feature_names)
    ('x', 'city=Bonn', 'city=Ulm')
    >>> print(encoding.transform(frame.iloc[:3]))
    [[-1.  0.  1.]
     [ 1.  1.  0.]
     [ 7.  0.  1.]]
    """
    if numbers not in FORMS:
        raise ValueError(f"`numbers={numbers}`: one of {', '.join(FORMS)} is needed")
    rows = np.asarray(rows)
    y, part = understanding.y[rows], frame.iloc[rows]
    there = y >= 0 if understanding.classes else ~np.isnan(y)
    columns = recognize_columns(part, y, there, understanding.task, understanding.target, understanding.wishes)
    known = {column.name for column in understanding.left_out}
    remarks = [
        f"{each.name!r} is left out: {each.kind}, {each.reason}"
        for each in columns
        if not (each.used or each.name in known)
    ]
    encoders = [
        _fit(column, cells_of(part, column.name), Fitting(numbers, ranks, bounded)) for column in columns if column.used
    ]
    kept = [each for each in encoders if each.names]
    if not kept:
        raise ValueError(f"encoding: no column varies in the {len(rows):,} training rows")
    return Encoding(tuple(kept), (*remarks, *_remarks(encoders)))


def _fit(column: Column, series: pandas.Series, fitting: Fitting) -> Encoder:
    if column.kind == "date":
        return Dates.fit(series, fitting, column.format)
    return KINDS[column.kind].fit(series, fitting)


def _remarks(encoders: list[Encoder]) -> Iterator[str]:
    for encoder in encoders:
        if not encoder.names:
            what = "has no level that is frequent" if isinstance(encoder, Levels) else "does not vary"
            yield f"{encoder.name!r} {what} in the training rows and is left out"
    far = [each for each in encoders if isinstance(each, Numbers) and each.deviations]
    if far:
        names = listing([f"{each.name!r} ({each.deviations:,.0f})" for each in far], 12)
        yield f"encoded by ranks, since values are more than {FAR:.0f} robust deviations from the median: {names}"


def _affine(encoder: Encoder) -> list[tuple[float, float]]:
    number = encoder.numbers if isinstance(encoder, YesNo) else encoder
    if isinstance(number, Numbers) and number.map and not number.map.points and not number.map.edges:
        return [(number.map.center, number.map.scale)] + [(0.0, 1.0)] * number.marks_missing
    plain_levels = isinstance(encoder, Levels) and encoder.order is None
    return [(0.0, 1.0) if plain_levels else (np.nan, np.nan)] * len(encoder.names)


def _hint(name: str, frame: pandas.DataFrame, names: list[str]) -> str:
    close = near(name, [each for each in map(str, frame) if each not in names])
    return f" (did you mean {close!r}?)" if close else ""


def _encoder(entry: Any) -> Encoder:
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if kind not in ENCODERS:
        raise ValueError(f"encoding: a kind of column in {', '.join(ENCODERS)} is needed, got {kind!r}")
    return restored(ENCODERS[kind], {name: value for name, value in entry.items() if name != "kind"})
