"""Numbers that stand for a missing value, such as -999, and infinite ones."""

from __future__ import annotations

import numpy as np

from gdjax.data.readers.columns import Column

SENTINELS = (-99, -999, -9999, -99999, -999999, 999, 9999, 99999, 999999)


def without_sentinels(name: str, column: Column, guess: bool) -> Column:
    """The column with NaN for a number such as -999 that stands far from all others, and with notes on what was seen.

    Args:
        guess: whether to take it as missing; else it is only noted.
    """
    values = column.values
    if values.dtype.kind not in "if" or np.isnan(values).all():
        return column
    notes = list(column.notes)
    infinite = int(np.isinf(values).sum())
    if infinite:
        notes.append(f"column {name!r}: {infinite} numbers are infinite")
    low, high = values.min() if values.dtype.kind == "i" else np.nanmin(values), np.nanmax(values)
    for sentinel in (low, high):
        if sentinel in SENTINELS and _is_apart(values, sentinel):
            count = int((values == sentinel).sum())
            told = f"column {name!r}: {sentinel:g} stands in {count} cells, far from all others"
            if guess and sentinel < 0:
                notes.append(f"{told}, and is taken as missing; any word given as missing turns this off")
                values = np.where(values == sentinel, np.nan, values)
            else:
                notes.append(f"{told}; missing='{sentinel:g}' takes it as missing")
    text = column.text if column.text is None or values is column.values else column.text.mask(np.isnan(values))
    return column._replace(values=values, notes=tuple(notes), text=text)


def _is_apart(values: np.ndarray, sentinel: float) -> bool:
    """Whether the other numbers are on the other side of 0, or within a tenth, and the sentinel is no usual size."""
    rest = values[(values != sentinel) & np.isfinite(values)]
    if len(rest) < 2 or 2 * len(rest) < len(values) - len(rest):
        return False
    low, high = float(rest.min()), float(rest.max())
    near = low > sentinel / 10 if sentinel < 0 else high < sentinel / 10
    size = max(abs(low), abs(high))
    return near and (size < abs(sentinel) or (sentinel < 0 and int((values == sentinel).sum()) > 1))
