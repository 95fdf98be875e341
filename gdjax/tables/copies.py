"""Copies of the target among the features: the same values under other names or in another unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdjax.tables.cells import needs, numbers, texts
from gdjax.tables.columns import Column

if TYPE_CHECKING:
    import pandas

EXACT = 1e-9  # of the target's range: what a linear function may be off by rounding
PROBE = 1000  # rows all over the table that are looked at first
FEWEST = 10


def copied(column: Column, series: pandas.Series, y: np.ndarray, task: str) -> str | None:
    """Why a feature is a copy of the target, or None.

    A feature is one if each of its values stands beside one value of the target and the other way round, each of them
    more than once; and a number if the target is a linear function of it.

    Args:
        y: the target in these rows: numbers, or labels.
    """
    if column.kind == "yes/no":
        series = texts(series).str.strip().str.casefold()
    probe = np.linspace(0, len(y) - 1, min(len(y), PROBE)).round().astype(int)
    kinds = [(_recodes, "each of its values stands for one of the target")]
    if task == "regression" and column.kind == "number":
        kinds.append((_is_linear, "the target is linear in it"))
    for is_copy, said in kinds:
        if is_copy(series.iloc[probe], y[probe]) and is_copy(series, y):
            return said
    return None


def _recodes(series: pandas.Series, y: np.ndarray) -> bool:
    factorize = needs("pandas").factorize
    there = series.notna().to_numpy()
    if there.sum() < max(FEWEST, len(y) / 2):
        return False
    ours, theirs = factorize(series.to_numpy()[there])[0], factorize(y[there])[0]
    levels = ours.max() + 1
    if levels != theirs.max() + 1 or not 1 < levels <= len(ours) / 2:
        return False
    return len(np.unique(ours.astype(np.int64) * levels + theirs)) == levels


def _is_linear(series: pandas.Series, y: np.ndarray) -> bool:
    x = numbers(series)[0]
    there = ~np.isnan(x)
    if there.sum() < max(FEWEST, len(y) / 2):
        return False
    x, y = x[there], y[there]
    low, high = x.argmin(), x.argmax()
    spread = y.max() - y.min()
    if x[low] == x[high] or not spread:
        return False
    line = y[low] + (x - x[low]) / (x[high] - x[low]) * (y[high] - y[low])
    return bool(np.all(abs(line - y) <= EXACT * spread))
