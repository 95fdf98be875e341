"""The cells of a column, as numbers or as text, whatever dtype pandas has given them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from gdjax.data.readers.cells import number_of

if TYPE_CHECKING:
    import pandas

WHOLE = 2.0**53  # whole numbers up to here are exact in float64


def needs(module: str) -> Any:
    """A module of the extra `lab`. Raises: ImportError, in one sentence, if it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = {"sklearn": "scikit-learn", "scipy": "SciPy"}.get(module.partition(".")[0], module)
        raise ImportError(f"tables: {name} is needed: pip install 'gdjax[lab]'") from error


def cells_of(frame: pandas.DataFrame, name: str) -> pandas.Series:
    """The column of a name."""
    return cast("pandas.Series", frame[name])


def name_of(series: pandas.Series) -> str:
    return str(series.name)


def is_text(series: pandas.Series) -> bool:
    """True for text, also where pandas keeps it as objects or categories."""
    types = needs("pandas").api.types
    return not (types.is_numeric_dtype(series) or types.is_bool_dtype(series) or is_dates(series))


def is_dates(series: pandas.Series) -> bool:
    return series.dtype.kind == "M"


def numbers(series: pandas.Series) -> tuple[np.ndarray, np.ndarray]:
    """The cells as float64, NaN where one is missing or spoiled, and the mask of the spoiled ones: no finite number."""
    if is_dates(series):
        return np.full(len(series), np.nan), series.notna().to_numpy()
    found = _numbers_of_text(series) if is_text(series) else series.to_numpy(np.float64, na_value=np.nan)
    finite = np.isfinite(found)
    return np.where(finite, found, np.nan), ~finite & series.notna().to_numpy()


def _numbers_of_text(series: pandas.Series) -> np.ndarray:
    """Numbers as Python writes them, else as the readers of files take them: "1,5", "$2", "(3)"; NaN for anything else."""
    cells = texts(series).str.strip()
    found = needs("pandas").to_numeric(cells, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    codes, distinct = needs("pandas").factorize(cells.where(np.isnan(found)))
    other = [number_of(str(cell)) for cell in distinct]
    marks = [number.proof for number in other if number]
    if "," in marks and marks.count(",") > marks.count("."):  # then "1.200" is 1200
        codes, distinct = needs("pandas").factorize(cells)
        other, decimal = [number_of(str(cell)) for cell in distinct], ","
    else:
        decimal = "."
    values = [number.value(decimal) if number else None for number in other]
    values = np.array([*(np.nan if value is None else value for value in values), np.nan])
    return np.where(codes < 0, found, values[codes])


def texts(series: pandas.Series) -> pandas.Series:
    """The cells as text, missing ones NaN: 3.0 is "3", True is "True", a date is as in ISO 8601."""
    if is_text(series):
        present = series.notna()
        return series if series.dtype == "str" else series.astype("object").where(present).astype("str").where(present)
    if series.dtype.kind == "f":
        return _text_of_floats(series)
    written = series.astype("str")
    return written.where(series.notna())


def _text_of_floats(series: pandas.Series) -> pandas.Series:
    """Each distinct number is written once, whole ones without their ".0"."""
    codes, distinct = needs("pandas").factorize(series)
    written = [f"{x:.0f}" if abs(x) < WHOLE and x == round(x) else repr(float(x)) for x in distinct]
    words = np.array([*written, None], object)  # the last for a missing cell, whose code is -1
    return needs("pandas").Series(words[codes], index=series.index, dtype="str", name=series.name)


def are_whole(values: np.ndarray) -> bool:
    """True if all numbers that are present are whole."""
    present = values[~np.isnan(values)]
    return bool(np.all(present == np.round(present)))
