"""Data sets of numbers from files: any table or images that `read_table` reads, or `.npz` with arrays x and y.

A data set holds numbers, and a target that may be words. Columns of text and missing values are refused, all of them in one
message; training from a table (`gd.runs.train`, `gdjax train`) encodes them.

The task follows from the targets by the rule of `gdjax.data.decision`, as in `gdjax train`, unless the caller gives it.
Classes are the sorted distinct values: 3, 5, 9 become the labels 0, 1, 2 and keep their names.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gdjax.data.arrays import TASKS, Dataset
from gdjax.data.decision import decide
from gdjax.data.errors import DataError, nearest
from gdjax.data.readers.cells import number_of
from gdjax.data.readers.contents import contents_of
from gdjax.data.readers.npz import read_arrays
from gdjax.data.readers.reading import table_of
from gdjax.data.table import Table

PART = 1 << 16  # rows


def read(path: str | os.PathLike[str], target: str | None = None, task: str | None = None) -> Dataset:
    """A data set for training from a file.

    Args:
        path: a file with a table, or `.npz`.
        target: the column to predict (default: the last), or the array of an NPZ file (default: "y"). All other columns
            are features; in an NPZ file the features are the array "x".
        task: "classification" or "regression" (default: by the rule of `gdjax.data.decision`).

    Raises: DataError with a message of one line.
    """
    content = _content(Path(path), target, task)
    found = _encoded(content, task)
    path, rows = content.path, len(found.y)
    origin = f"{rows} rows of {path.name}, target {found.target!r}"
    names = found.feature_names, found.target_names
    shape = content.shape, content.test_rows
    return Dataset(path.stem, content.x(0, rows), found.y, found.task, *names, origin, *shape)


def read_parts(
    path: str | os.PathLike[str],
    take: Callable[[np.ndarray], Any],
    target: str | None = None,
    task: str | None = None,
    most: int | None = None,
) -> Targets:
    """As `read`, for a table that does not fit in memory: its columns of numbers are kept on disk meanwhile.

    Args:
        take: called with the features of each part, (k, d) float64.
        most: rows of a part (default: PART).

    Returns: the targets of all rows, which are kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        content = _content(Path(path), target, task, Path(folder))
        found, step = _encoded(content, task), most or PART
        for start in range(0, len(found.y), step):
            take(content.x(start, start + step))
        del content
    return found


def read_features(path: str | os.PathLike[str], columns: Sequence[str]) -> np.ndarray:
    """Rows to predict from: the given columns, in the given order, (n, len(columns)) float64.

    Args:
        path: a file with a table, or `.npz`; the target may be absent, and other columns of a table are ignored.
        columns: `feature_names` of the training data; for an NPZ file only their number is used.

    Raises: DataError, in one line.

    >>> with open("flat.csv", "w") as file:
    ...     _ = file.write("rooms,area,price\\n2,50,900\\n3,80,1400\\n")
    >>> print(gd.data.read_features("flat.csv", ["area", "rooms"]))
    [[50. 2.]
     [80. 3.]]
    """
    path, columns = Path(path), tuple(columns)
    arrays = _arrays(path)
    if arrays is not None:
        x = _features(path, arrays)
        if x.shape[1] != len(columns):
            raise DataError(f"{path}: x must have {len(columns)} columns, got {x.shape[1]}")
        return x
    table = table_of(path, numbers=columns)
    for column in columns:
        _find(path, "column", column, table.frame)
    _check_numbers(path, table, columns)
    return table.frame[list(columns)].to_numpy(np.float64)


class Targets(NamedTuple):
    """The targets of a table, int32 labels or float64 numbers, and what it is about."""

    y: np.ndarray
    task: str
    target_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    target: str


class _Content(NamedTuple):
    """The content of a file: (start, stop) -> checked features, raw targets, and the place of row i for messages."""

    path: Path
    x: Callable[[int, int], np.ndarray]  # (k, d) float64
    columns: tuple[str, ...]
    targets: np.ndarray  # (n,) numbers or str
    target: str
    place: Callable[[int], str]
    shape: tuple[int, ...] = ()  # of a row that is an image or a series
    test_rows: int = 0


def _content(path: Path, target: str | None, task: str | None, folder: Path | None = None) -> _Content:
    if task not in (None, *TASKS):
        raise DataError(f"{path}: task must be one of {', '.join(TASKS)}, got {task!r}")
    arrays = None if path.is_dir() else _arrays(path)
    if arrays is None or any(array.ndim > 2 for array in arrays.values()):
        return _of_table(path, target, folder)
    return _of_arrays(path, arrays, target or "y")


def _find(path: Path, kind: str, name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise DataError(f"{path}: no {kind} {name!r}; {nearest(name, names)}")


# Tables.


def _of_table(path: Path, target: str | None, folder: Path | None) -> _Content:
    table = table_of(path, folder=folder)
    names = tuple(table.frame)
    if not names:
        raise DataError(
            f"{path}: there is no column to predict beside the pixels{''.join(f'; {x}' for x in table.notes)}"
        )
    target = names[-1] if target is None else target
    _find(path, "column", target, names)
    if table.pixels is not None:
        return _of_pixels(path, table, table.pixels, target)
    columns = tuple(name for name in names if name != target)
    if not columns:
        raise DataError(
            f"{path}: there must be at least one feature besides the target {target!r}, got that column alone"
        )
    _check_numbers(path, table, columns, target)

    def x(start: int, stop: int) -> np.ndarray:
        return np.column_stack([table.frame[name].to_numpy()[start:stop] for name in columns]).astype(np.float64)

    return _Content(path, x, columns, _targets(table, target), target, lambda i: table.place(i, target))


def _of_pixels(path: Path, table: Table, pixels: np.ndarray, target: str) -> _Content:
    """The content of a file of images or series, whose numbers stay in float32 where this holds them."""
    _check_numbers(path, table, (), target)
    flat = pixels.reshape(len(pixels), -1)
    dtype = np.float32 if flat.dtype.itemsize < 4 or flat.dtype == np.float32 else np.float64
    places = np.ndindex(*(pixels.shape[1:-1] if pixels.shape[-1] == 1 else pixels.shape[1:]))
    columns = tuple("_".join(map(str, ("pixel", *place))) for place in places)
    place = lambda i: table.place(i, target)  # noqa: E731
    x = lambda start, stop: flat[start:stop].astype(dtype)  # noqa: E731
    return _Content(path, x, columns, _targets(table, target), target, place, table.shape, table.test_rows)


def _targets(table: Table, target: str) -> np.ndarray:
    """The target of each row: float64, or words."""
    values = table.frame[target]
    if values.dtype.kind not in "biuf":
        return np.array(values.astype(str).tolist())
    return values.to_numpy(np.float64)


def _check_numbers(path: Path, table: Table, columns: Sequence[str], target: str | None = None) -> None:
    """Raise: DataError that names all columns of text, and all that lack values or hold infinite ones."""
    frame = table.frame
    text = [name for name in columns if frame.dtypes[name].kind not in "biuf"]
    missing = [name for name in (*columns, *filter(None, [target])) if bool(np.any(frame[name].isna()))]
    infinite = [name for name in columns if name not in text and np.isinf(frame[name].to_numpy(np.float64)).any()]
    problems = []
    for names, what, bad in (
        (text, "numbers are needed, got text", lambda cells: cells.map(lambda cell: number_of(str(cell)) is None)),
        (missing, "values are missing", lambda cells: cells.isna()),
        (infinite, "finite numbers are needed", lambda cells: np.isinf(cells.to_numpy(np.float64))),
    ):
        if names:
            row = int(np.argmax(np.asarray(bad(frame[names[0]]))))
            example = f" {str(frame[names[0]].iloc[row])!r}" if names is text else ""
            more = f", and in column{'s' * (len(names) > 2)} {', '.join(map(repr, names[1:]))}" if names[1:] else ""
            problems.append(f"{table.place(row, names[0])}: {what}{example}{more}")
    if problems:
        hint = "; a data set holds numbers only: gdjax train and gd.runs.train encode text and missing values"
        raise DataError(f"{path}: {'; '.join(problems)}{hint if text or missing else ''}")


# Arrays.


def _arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file of NumPy; None for another one."""
    with contents_of(path) as source:
        return read_arrays(source) if source.format == "npz" else None


def _of_arrays(path: Path, arrays: dict[str, np.ndarray], target: str) -> _Content:
    x = _features(path, arrays)
    _find(path, "array", target, arrays)
    y = arrays[target]
    if y.ndim != 1:
        raise DataError(f"{path}: {target} must have shape (n,), got {y.shape}")
    if len(y) != len(x):
        raise DataError(f"{path}: x and {target} must have as many rows, got {len(x)} and {len(y)}")
    if y.dtype.kind not in "biufU":
        raise DataError(f"{path}: {target} must hold numbers or words, got {y.dtype}")
    if y.dtype.kind == "U" and "" in y:
        raise DataError(f"{path}: {target}[{y.tolist().index('')}]: a value is missing")
    columns = tuple(f"x{j}" for j in range(x.shape[1]))
    y = y if y.dtype.kind == "U" else y.astype(float)
    return _Content(path, lambda start, stop: x[start:stop], columns, y, target, lambda i: f"{target}[{i}]")


def _features(path: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    _find(path, "array", "x", arrays)
    x = arrays["x"]
    if x.ndim != 2 or not x.size:
        raise DataError(f"{path}: x must have shape (n, d) with n, d >= 1, got {x.shape}")
    if x.dtype.kind not in "biuf":
        raise DataError(f"{path}: x must hold numbers, got {x.dtype}")
    return _finite(path, x, lambda i, j: f"x[{i}, {j}]")


# Both.


def _encoded(content: _Content, task: str | None) -> Targets:
    """The targets as int32 labels or float64 numbers, the task, the names of the classes."""
    targets, words = content.targets, content.targets.dtype.kind == "U"
    if words and task == "regression":
        raise DataError(f"{content.path}: {content.place(0)}: regression needs numbers, got {str(targets[0])!r}")
    if words and task is None:
        _check_words(content)
    numbers = None if words else _finite(content.path, targets[:, None], lambda i, _: content.place(i))[:, 0]
    distinct, labels = np.unique(targets, return_inverse=True)
    if (task or decide(content.target, numbers, len(distinct)).task) == "classification" or numbers is None:
        names = tuple(map(_class_name, distinct))
        return Targets(labels.astype(np.int32), "classification", names, content.columns, content.target)
    return Targets(numbers, "regression", (), content.columns, content.target)


def _check_words(content: _Content) -> None:
    """Refuse a mixture of numbers and words, unless the numbers are codes such as 007."""
    numeric = [number_of(cell) is not None for cell in content.targets.tolist()]
    if any(numeric) and not all(numeric):
        word, number = numeric.index(False), numeric.index(True)
        raise DataError(
            f"{content.path}: {content.place(word)}: numbers and words are mixed, {str(content.targets[word])!r} here, "
            f"{str(content.targets[number])!r} at {content.place(number)}; task='classification' takes all as words"
        )


def _class_name(value: Any) -> str:
    return str(value) if value.dtype.kind == "U" else f"{value + 0:.15g}"  # no -0


def _finite(path: Path, numbers: np.ndarray, place: Callable[[int, int], str]) -> np.ndarray:
    """The numbers as float64. Raises: DataError at the first one that is not finite."""
    result = np.asarray(numbers, np.float64)
    if not np.all(np.isfinite(result)):
        i, j = np.argwhere(~np.isfinite(result))[0]
        raise DataError(f"{path}: {place(int(i), int(j))}: a finite number is needed, got {numbers[i, j]}")
    return result
