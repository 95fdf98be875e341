"""A data frame's columns whose cells no table holds as they are: durations, complex numbers, lists, very large integers."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np

from gdjax.data.errors import in_one_line
from gdjax.data.readers.cells import EXACT
from gdjax.data.readers.columns import Options
from gdjax.data.readers.typed import typed_column


def plain_frame(frame: Any, used: Container[str] | None = None) -> tuple[Any, tuple[str, ...]]:
    """The frame with such columns read as those of a Parquet file are, and notes on what they have become.

    Args:
        used: the columns that are looked at; None for all. The others stay as they are.

    Raises: DataError, in one line, for columns of cells that are no single values, such as lists or complex numbers.
    """
    import pandas

    series = [frame.iloc[:, j] for j in range(frame.shape[1])]
    read = [j for j, each in enumerate(series) if (used is None or each.name in used) and _is_unusual(each)]
    unusual = {j: typed_column(str(series[j].name), series[j], Options()) for j in read}
    problems = [problem for column in unusual.values() for _, problem in column.problems]
    if problems:
        raise in_one_line("a data frame", problems)
    if not unusual:
        return frame, ()
    for j, column in unusual.items():
        series[j] = pandas.Series(np.asarray(column.values), index=frame.index, name=series[j].name)
    notes = tuple(note for column in unusual.values() for note in column.notes)
    return pandas.concat(series, axis=1), notes


def _is_unusual(series: Any) -> bool:
    kind = getattr(series.dtype, "kind", "O")
    if kind in "iu":
        whole = series.dropna()
        return bool(len(whole)) and max(int(whole.max()), -int(whole.min())) > EXACT
    if kind == "O" and series.dtype == object:
        return any(isinstance(x, (list, dict, set, np.ndarray, complex, np.complexfloating)) for x in series)
    return kind in "mc" or series.dtype == np.float16
