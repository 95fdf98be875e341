"""Tables from files: `.npz` with arrays x and y, `.csv` with a header line.

Any error in a file raises a `DataError`, whose message of one line names the file and the place. Nothing is guessed: an
empty cell, a NaN or a word among numbers is an error.

The task follows from the targets, unless the caller gives it. It is classification if the targets are words, or whole
numbers with two distinct values, or with up to 20 distinct values and at least twice as many rows; else it is regression.
Classes are the sorted distinct values: 3, 5, 9 become the labels 0, 1, 2 and keep their names.
"""

from __future__ import annotations

import array
import bisect
import csv
import hashlib
import itertools
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from gdjax.data.arrays import TASKS, Dataset
from gdjax.data.errors import DataError, nearest

MAX_CLASSES = 20
PART = 1 << 16  # rows

# Errors of NumPy and zipfile for broken archives.
_DAMAGE = (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


def read(path: str | os.PathLike[str], target: str | None = None, task: str | None = None) -> Dataset:
    """A table for training from a file.

    Args:
        path: a file that ends in `.npz` or `.csv`.
        target: the column of a CSV file to predict (default: the last), or the array of an NPZ file (default: "y"). All
            other columns are features; in an NPZ file the features are the array "x".
        task: "classification" or "regression" (default: by the rule at the top of this module).

    Raises: DataError with a message of one line.
    """
    file = _File(Path(path))
    if task not in (None, *TASKS):
        file.fail(f"task must be one of {', '.join(TASKS)}, got {task!r}")
    table = _read_table(file, target)
    y, task, target_names = _encode(table, task)
    origin = f"{len(y)} rows of {file.path.name}, target {table.target!r}"
    return Dataset(file.path.stem, table.x, y, task, table.columns, target_names, origin)


def read_parts(
    path: str | os.PathLike[str],
    take: Callable[[np.ndarray], Any],
    target: str | None = None,
    task: str | None = None,
    most: int | None = None,
) -> Targets:
    """As `read`, for a table that does not fit in memory.

    Args:
        take: called with the features of each part, (k, d) float64.
        most: rows of a part (default: PART).

    Returns: the targets of all rows, which are kept.
    """
    file = _File(Path(path))
    if task not in (None, *TASKS):
        file.fail(f"task must be one of {', '.join(TASKS)}, got {task!r}")
    tables = (
        iter([_read_table(file, target)])
        if file.is_npz
        else _csv_parts(file, _checked_pick(file, target), most or PART)
    )
    parts, starts = [], [0]
    for table in tables:
        take(table.x)
        parts.append(table._replace(x=table.x[:0]))
        starts.append(starts[-1] + len(table.targets))

    def place(i: int) -> str:
        part = bisect.bisect(starts, i) - 1
        return parts[part].place(i - starts[part])

    whole = parts[0]._replace(targets=np.concatenate([part.targets for part in parts]), place=place)
    return Targets(*_encode(whole, task), whole.columns, whole.target)


def read_features(path: str | os.PathLike[str], columns: Sequence[str]) -> np.ndarray:
    """Rows to predict from: the given columns, in the given order, (n, len(columns)) float64.

    Args:
        path: a file that ends in `.npz` or `.csv`; the target may be absent, and other columns of a CSV file are ignored.
        columns: `feature_names` of the training data; for an NPZ file only their number is used.

    Raises: DataError, in one line.

    >>> with open("flat.csv", "w") as file:
    ...     _ = file.write("rooms,area,price\\n2,50,900\\n3,80,1400\\n")
    >>> print(gd.data.read_features("flat.csv", ["area", "rooms"]))
    [[50. 2.]
     [80. 3.]]
    """
    file, columns = _File(Path(path)), tuple(columns)
    if file.is_npz:
        x = _npz_features(file, *_npz_arrays(file, "x"))
        if x.shape[1] != len(columns):
            file.fail(f"x must have {len(columns)} columns, got {x.shape[1]}")
        return x

    def pick(header: tuple[str, ...]) -> tuple[tuple[str, ...], None]:
        for column in columns:
            _find(file, "column", column, header)
        return columns, None

    return _read_csv(file, pick).x


def hash_of(dataset: Dataset) -> str:
    """16 hex digits that stand for the contents: numbers, task, names of columns and classes.

    >>> print(len(gd.data.hash_of(gd.data.load("wine"))))
    16
    """
    names = repr((dataset.task, dataset.x.shape, dataset.feature_names, dataset.target_names))
    digest = hashlib.sha256(names.encode())
    for numbers in (dataset.x, dataset.y):  # in their own dtypes, float64 from files
        digest.update(np.ascontiguousarray(numbers, numbers.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:16]


class _File(NamedTuple):
    path: Path

    @property
    def is_npz(self) -> bool:
        return self.path.suffix.lower() == ".npz"

    def fail(self, message: str) -> NoReturn:
        raise DataError(f"{self.path}: {' '.join(message.split())}")


class Targets(NamedTuple):
    """The targets of a table, int32 labels or float64 numbers, and what it is about."""

    y: np.ndarray
    task: str
    target_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    target: str


class _Table(NamedTuple):
    """The content of either format: checked features, raw targets, and the place of row i for messages."""

    file: _File
    x: np.ndarray  # (n, d) float64
    columns: tuple[str, ...]
    targets: np.ndarray  # (n,) numbers or str
    target: str
    place: Callable[[int], str]


def _read_table(file: _File, target: str | None) -> _Table:
    if file.is_npz:
        return _read_npz(file, target or "y")
    return _read_csv(file, _checked_pick(file, target))


def _checked_pick(file: _File, target: str | None) -> Callable[[tuple[str, ...]], tuple[tuple[str, ...], str]]:
    """header -> (the columns of the features, that of the target)."""
    if file.path.suffix.lower() != ".csv":
        file.fail("the name must end in .npz or .csv")

    def pick(header: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
        chosen = header[-1] if target is None else target
        _find(file, "column", chosen, header)
        if len(header) < 2:
            file.fail(f"there must be at least one feature besides the target {chosen!r}, got that column alone")
        return tuple(column for column in header if column != chosen), chosen

    return pick


def _find(file: _File, kind: str, name: str, names: Sequence[str]) -> None:
    if name in names:
        return
    file.fail(f"no {kind} {name!r}; {nearest(name, names)}")


# NPZ.


def _read_npz(file: _File, target: str) -> _Table:
    x, y = _npz_arrays(file, "x", target)
    x = _npz_features(file, x)
    if y.ndim != 1:
        file.fail(f"{target} must have shape (n,), got {y.shape}")
    if len(y) != len(x):
        file.fail(f"x and {target} must have as many rows, got {len(x)} and {len(y)}")
    if y.dtype.kind not in "biufU":
        file.fail(f"{target} must hold numbers or words, got {y.dtype}")
    columns = tuple(f"x{j}" for j in range(x.shape[1]))
    y = y if y.dtype.kind == "U" else y.astype(float)
    return _Table(file, x, columns, y, target, lambda i: f"{target}[{i}]")


def _npz_arrays(file: _File, *wanted: str) -> list[np.ndarray]:
    _check_exists(file)
    if not zipfile.is_zipfile(file.path):
        file.fail("damaged, or no .npz file")
    try:
        with open(file.path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            names = archive.files
            arrays = {name: archive[name] for name in wanted if name in names}
    except _DAMAGE as error:
        file.fail(f"damaged: {error}")
    for name in wanted:
        _find(file, "array", name, names)
    return [arrays[name] for name in wanted]


def _npz_features(file: _File, x: np.ndarray) -> np.ndarray:
    if x.ndim != 2 or not x.size:
        file.fail(f"x must have shape (n, d) with n, d >= 1, got {x.shape}")
    if x.dtype.kind not in "biuf":
        file.fail(f"x must hold numbers, got {x.dtype}")
    return _finite(file, x, lambda i, j: f"x[{i}, {j}]")


# CSV.


def _read_csv(file: _File, pick: Callable[[tuple[str, ...]], tuple[tuple[str, ...], str | None]]) -> _Table:
    """The columns that `pick(header)` names, features and target; other cells are ignored."""
    return next(_csv_parts(file, pick))


def _csv_parts(
    file: _File, pick: Callable[[tuple[str, ...]], tuple[tuple[str, ...], str | None]], most: int | None = None
) -> Iterator[_Table]:
    """The rows as tables of at most `most` rows each; the numbers of features are checked, targets are as they are read."""
    records = _records(file)
    header = _header(file, records)
    columns, target = pick(header)
    first = next(records, None)
    if first is None:
        file.fail("empty: there is a header and no row below it")
    records = itertools.chain([first], records)
    while first is not None:
        yield _csv_part(file, itertools.islice(records, most), header, columns, target)
        first = next(records, None)
        records = itertools.chain([first], records)


def _csv_part(file, records, header, columns, target) -> _Table:
    where = [header.index(column) for column in columns]
    goal = None if target is None else header.index(target)
    values, targets, lines = array.array("d"), [], array.array("q")
    for line, cells in records:
        if len(cells) != len(header):
            file.fail(f"line {line}: {len(header)} cells are needed, got {len(cells)}")
        try:
            values.extend([float(cells[j]) for j in where])
        except ValueError:
            _blame(file, line, [(header[j], cells[j]) for j in where])
        if goal is not None:
            targets.append(cells[goal].strip())
        lines.append(line)
    x = np.frombuffer(values).reshape(len(lines), len(columns))
    x = _finite(file, x, lambda i, j: f"line {lines[i]}, column {columns[j]!r}")
    place = lambda i: f"line {lines[i]}, column {target!r}"  # noqa: E731
    return _Table(file, x, columns, np.array(targets, str), target or "", place)


def _records(file: _File) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not blank, with their numbers from 1."""
    _check_exists(file)
    try:
        with open(file.path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, skipinitialspace=True, strict=True)
            for cells in reader:
                if len(cells) > 1 or "".join(cells).strip():
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        file.fail(f"cannot be read as .csv: {error}")


def _header(file: _File, records: Iterator[tuple[int, list[str]]]) -> tuple[str, ...]:
    _, cells = next(records, (0, []))
    header = tuple(cell.strip() for cell in cells)
    if not header:
        file.fail("empty: a header line is needed")
    if all(_is_number(cell) for cell in header):
        file.fail(f"the first line must name the columns, got numbers: {', '.join(header[:3])}")
    for position, column in enumerate(header):
        if not column:
            file.fail(f"every column must have a name, got none for column {position + 1}")
        if column in header[:position]:
            file.fail(f"column names must differ, got {column!r} twice")
    return header


def _blame(file: _File, line: int, cells: list[tuple[str, str]]) -> NoReturn:
    column, cell = next((column, cell) for column, cell in cells if not _is_number(cell))
    problem = f"a number is needed, got {cell!r}" if cell.strip() else "a value is missing"
    file.fail(f"line {line}, column {column!r}: {problem}")


# Both.


def _encode(table: _Table, task: str | None) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """(targets as int32 labels or float64 numbers, the task, the names of the classes)."""
    targets = _numbers_or_words(table, task) if table.targets.dtype.kind == "U" else table.targets
    words = targets.dtype.kind == "U"
    if words and task == "regression":
        table.file.fail(f"{table.place(0)}: regression needs numbers, got {str(targets[0])!r}")
    numbers = None if words else _finite(table.file, targets[:, None], lambda i, _: table.place(i))[:, 0]
    distinct, labels = np.unique(targets, return_inverse=True)
    if numbers is None or task == "classification" or (task is None and _are_labels(distinct, len(labels))):
        return labels.astype(np.int32), "classification", tuple(map(_class_name, distinct))
    return numbers, "regression", ()


def _numbers_or_words(table: _Table, task: str | None) -> np.ndarray:
    """The targets as numbers if all cells are numbers, else as words; a mixture is allowed only for classification."""
    cells = table.targets.tolist()
    if "" in cells:
        table.file.fail(f"{table.place(cells.index(''))}: a value is missing")
    numeric = [_is_number(cell) for cell in cells]
    if any(numeric) and not all(numeric) and task != "classification":
        word, number = numeric.index(False), numeric.index(True)
        table.file.fail(
            f"{table.place(word)}: numbers and words are mixed, {cells[word]!r} here, {cells[number]!r} at "
            f"{table.place(number)}; task='classification' takes all as words"
        )
    return np.array([float(cell) for cell in cells]) if all(numeric) else table.targets


def _are_labels(distinct: np.ndarray, rows: int) -> bool:
    few = len(distinct) == 2 or len(distinct) <= min(MAX_CLASSES, rows // 2)
    return few and bool(np.all(distinct == np.round(distinct)))


def _class_name(value: Any) -> str:
    return str(value) if value.dtype.kind == "U" else f"{value + 0:.15g}"  # no -0


def _finite(file: _File, numbers: np.ndarray, place: Callable[[int, int], str]) -> np.ndarray:
    """The numbers as float64. Raises: DataError at the first one that is not finite."""
    result = np.asarray(numbers, np.float64)
    if not np.all(np.isfinite(result)):
        i, j = np.argwhere(~np.isfinite(result))[0]
        file.fail(f"{place(int(i), int(j))}: a finite number is needed, got {numbers[i, j]}")
    return result


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _check_exists(file: _File) -> None:
    if not file.path.is_file():
        file.fail("no such file")
