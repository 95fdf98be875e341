"""Columns whose file says what they hold: numbers, truth values, dates, text."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np

from gdjax.data.readers.cells import EXACT
from gdjax.data.readers.columns import Column, Options, decide


def typed_column(name: str, values: Any, options: Options, lines: np.ndarray | None = None) -> Column:
    """A pandas series as a column of a table; text is decided by its cells, as in a CSV file."""
    import pandas

    if name in options.as_text:
        return decide(name, texts_of(values), options, lines)
    if isinstance(values.dtype, pandas.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype if not values.isna().any() else object)
    kind = getattr(values.dtype, "kind", "O")
    if kind == "b" and not values.isna().any():
        return Column(values.to_numpy(bool))
    if kind in "iuf":
        return _numbers(name, values)
    if kind == "M":
        return _dates(values)
    if kind == "m":
        return Column(values.dt.total_seconds().to_numpy(), (f"column {name!r}: durations are in seconds",))
    return _objects(name, values, options, lines)


def _numbers(name: str, values: Any) -> Column:
    missing = values.isna().to_numpy()
    if values.dtype.kind == "f":
        return Column(values.to_numpy(np.float64, na_value=np.nan))
    whole = values.dropna()
    if len(whole) and max(int(whole.max()), -int(whole.min())) > EXACT:
        note = f"column {name!r} stays text, since no float holds {str(whole.max())!r}"
        return Column(texts_of(values), (note,), text=texts_of(values))
    return Column(values.to_numpy(np.float64, na_value=np.nan) if missing.any() else values.to_numpy(np.int64))


def _dates(values: Any) -> Column:
    if getattr(values.dtype, "tz", None) is not None:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    return Column(values.reset_index(drop=True))


def _objects(name: str, values: Any, options: Options, lines: np.ndarray | None) -> Column:
    import pandas

    kinds = {_kind(each) for each in values.dropna().unique()} if _are_plain(values) else {"other"}
    if kinds == {"number"}:
        return typed_column(name, pandas.to_numeric(values.map(_plain_number)), options)
    if kinds == {"date"}:
        return _dates(pandas.to_datetime(values))
    if "other" in kinds:
        example = next(each for each in values if not isinstance(each, str) and _kind(each) == "other")
        line = 0 if lines is None else int(lines[0])
        problem = f"column {name!r} must hold single values, got {type(example).__name__}"
        return Column(np.zeros(len(values)), (), ((line, problem),))
    return decide(name, texts_of(values), options, lines)


def _are_plain(values: Any) -> bool:
    return all(_kind(each) != "other" for each in values)


def _kind(value: Any) -> str:
    if isinstance(value, bool | np.bool_ | str | bytes | datetime.time) or value is None:
        return "text"
    if isinstance(value, int | float | np.number | decimal.Decimal):
        return "number"
    if isinstance(value, datetime.date | np.datetime64):
        return "date"
    return "text" if value is _missing() else "other"


def _missing() -> Any:
    import pandas

    return pandas.NA


def _plain_number(value: Any) -> Any:
    return float(value) if isinstance(value, decimal.Decimal) else value


def texts_of(values: Any) -> Any:
    """The values as text as it stands in a CSV file, missing ones NaN."""
    import pandas

    texts = [None if _gone(each) else text_of(each) for each in values]
    return pandas.Series(texts, dtype=str)


def _gone(value: Any) -> bool:
    return value is None or value is _missing() or value != value  # NaN, NaT


def text_of(value: Any) -> str:
    """A value as the text of a cell."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() and abs(value) < EXACT else repr(float(value))
    return str(value)
