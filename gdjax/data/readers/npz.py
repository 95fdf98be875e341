"""A table from arrays of NumPy: `.npz`, or one array as `.npy`."""

from __future__ import annotations

import numpy as np

from gdjax.data.errors import DataError, in_one_line
from gdjax.data.readers.columns import Options
from gdjax.data.readers.contents import DAMAGE, Contents, damaged
from gdjax.data.readers.headers import distinct
from gdjax.data.readers.text import Found
from gdjax.data.readers.typed import typed_column


def read_arrays(source: Contents) -> dict[str, np.ndarray]:
    """The arrays of a file by name; one array without a name is "x". Raises: DataError."""
    try:
        with source.open() as stream:
            found = np.load(stream, allow_pickle=False)
            return {"x": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except DAMAGE as error:
        raise damaged(source.name, error) from None


def read_npz(source: Contents, options: Options) -> Found:
    """The columns of the arrays: one of (n,) bears its name, those of (n, d) have the number behind it, x0, x1, ..."""
    import pandas

    arrays = read_arrays(source)
    vectors, matrices = ([len(each) for each in arrays.values() if each.ndim == ndim] for ndim in (1, 2))
    rows = max(matrices or vectors, default=0)
    kept = {name: array for name, array in arrays.items() if array.ndim in (1, 2) and len(array) == rows}
    if not rows:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise DataError(
            f"{source.name}: there must be an array of shape (n,) or (n, d) with n >= 1, got {shapes or 'none'}"
        )
    foreign = {name: array.dtype for name, array in kept.items() if array.dtype.kind not in "biufUSMm"}
    wrong = [f"{name} must hold numbers or words, got {dtype}" for name, dtype in foreign.items()]
    if wrong:
        raise in_one_line(source.name, wrong)
    named = [(each, column) for name, array in kept.items() for each, column in _columns(name, array)]
    names, renamed = distinct([name for name, _ in named])
    columns = {
        name: typed_column(name, pandas.Series(column), options) for name, (_, column) in zip(names, named, strict=True)
    }
    notes = [f"array {name!r} of shape {arrays[name].shape} is left out" for name in arrays if name not in kept]
    notes += [note for column in columns.values() for note in column.notes]
    problems = [text for column in columns.values() for _, text in column.problems]
    if problems:
        raise in_one_line(source.name, problems)
    return Found(columns, None, (*source.notes, *renamed, *notes))


def _columns(name: str, array: np.ndarray) -> list[tuple[str, np.ndarray]]:
    array = array.astype(array.dtype.newbyteorder("="))
    return [(name, array)] if array.ndim == 1 else [(f"{name}{j}", array[:, j]) for j in range(array.shape[1])]
