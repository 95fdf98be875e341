"""Columns that have no name: an index, what stands behind trailing delimiters."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax.data.readers.columns import Column
from gdjax.data.readers.headers import Start


def without_unnamed(columns: dict[str, Column], start: Start, notes: list[str]) -> tuple[str, ...]:
    """Delete the columns without a name that only number the rows or are empty; all notes, each once."""
    for j in start.unnamed:
        name = start.names[j]
        reason = _superfluous(columns[name].values, j)
        if reason:
            del columns[name]
            notes.append(reason)
        else:
            notes.append(f"column {j + 1} has no name and is called {name!r}")
    notes += [note for column in columns.values() for note in column.notes]
    return tuple(dict.fromkeys(notes))


def _superfluous(values: Any, j: int) -> str:
    """Why a column without a name is left out, or ""."""
    if values.dtype.kind == "f" and np.isnan(values).all():
        return f"column {j + 1} has neither a name nor values and is left out"
    if j == 0 and values.dtype.kind in "if" and _number_rows(values):
        return "the first column, which has no name, numbers the rows and is left out"
    return ""


def _number_rows(values: np.ndarray) -> bool:
    return bool(np.all(values == np.round(values))) and len(np.unique(values)) == len(values)
