"""From a table to the arrays of a run: it is read, understood and split, and then its columns are encoded."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gdjax.data import SOURCES, Dataset, Scaling, Table, fit_scaling, load, read_table, standardize
from gdjax.data.files import nearest
from gdjax.data.readers.frames import plain_frame
from gdjax.networks import SHAPED
from gdjax.runs.options import ReadingOptions, TrainOptions
from gdjax.tables import (
    Encoding,
    PixelEncoding,
    RowSplit,
    Understanding,
    fit_encoding,
    fit_pixels,
    split_folds,
    split_rows,
    understand,
)
from gdjax.tables.cells import cells_of, is_text, needs, numbers, texts
from gdjax.tables.pixels import described, shaped
from gdjax.tables.target import labels
from gdjax.tasks import Parts, Subject
from gdjax.text import counted

if TYPE_CHECKING:
    import pandas

READING = ("sep", "header", "decimal", "encoding", "missing")
PARTS = ("train", "validation", "calibration", "test")
COLUMNS = ("drop", "id", "only", "categorical", "numeric")
SPLIT = ("group", "time", "test")


class Encoded(NamedTuple):
    """The arrays of a problem, by a way of encoding its numbers."""

    problem: Problem  # without the rows that have a spoiled cell
    encoding: Encoding | PixelEncoding
    subject: Subject
    parts: Parts


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A table that is understood and split.

    Args:
        table: all rows, those of a test file too.
        understanding: of the table, without the rows of a test file.
        y: the target of each row: float64, or int32 positions in the classes.
        rows: the rows of each part.
    """

    table: Table
    understanding: Understanding
    y: np.ndarray
    rows: RowSplit

    def encode(self, numbers: str, network: bool = True, dtype: str = "float32") -> Encoded:
        """Fit the encoding on the training rows, and encode all parts; a straight line takes numbers as they are."""
        train, understood = self.rows.train, self.understanding
        encoding = self.encoding_of(train, numbers, network)
        target = None if understood.classes else fit_scaling(self.y[train])
        subject = Subject(self.table.name, understood.task, encoding.width, understood.classes, self.table.shape)
        problem, parts = self.arrays(encoding, target, dtype)
        return Encoded(problem, encoding, subject, parts)

    def encoding_of(
        self, train: np.ndarray, numbers: str = "standardized", network: bool = True
    ) -> Encoding | PixelEncoding:
        """The encoding that these rows determine."""
        if self.table.pixels is not None:
            return fit_pixels(self.table.pixels[train])
        return fit_encoding(self.understanding, self.table.frame, train, numbers, ranks=network, bounded=network)

    def arrays(self, encoding: Encoding | PixelEncoding, target: Scaling | None, dtype: str) -> tuple[Problem, Parts]:
        """The parts, the target in the units of training, without the rows that have a spoiled cell; and the rest of it."""
        features = {name: encoding.transform(self.table.inputs(rows), "float32") for name, rows in self.parts()}
        good = {name: np.isfinite(x).all(axis=1) for name, x in features.items()}
        kept = {name: rows if good[name].all() else rows[good[name]] for name, rows in self.parts()}
        empty = [name for name, rows in self.parts() if len(rows) and not len(kept[name])]
        if empty:
            raise ValueError(f"{self.table.origin}: every row for {empty[0]} has a cell that cannot be read")
        lost = sum(len(rows) - len(kept[name]) for name, rows in self.parts())
        said = [f"{counted(lost, 'row')} with a cell that cannot be read {'is' if lost == 1 else 'are'} left out"]
        rows = dataclasses.replace(self.rows, **kept, remarks=(*self.rows.remarks, *(said if lost else [])))
        problem = Problem(self.table, self.understanding, self.y, rows)

        def part(name: str) -> tuple[Any, Any]:
            x, y = features.pop(name), self.y[kept[name]]
            x = jnp.asarray(x if good[name].all() else x[good[name]], dtype)
            return x, jnp.asarray(y) if target is None else standardize(target, y)

        train, validation, calibration, test = (part(name) for name in PARTS)
        return problem, Parts(train, validation, calibration, test, target)

    def parts(self) -> list[tuple[str, np.ndarray]]:
        """The name and the rows of each part."""
        return [(name, getattr(self.rows, name)) for name in PARTS]

    def folds(self, number: int, options: TrainOptions) -> np.ndarray:
        """(n,) the fold of each training row; -1 for one that is never held out."""
        train = self.rows.train
        how = {"seed": options.seed_of_split, "group": options.group, "time": options.time}
        fold = np.full(len(train), -1, np.int32)
        for k, each in enumerate(split_folds(self.understanding, self.table, number, rows=train, **how)):
            fold[np.searchsorted(train, each.held_out)] = k
        return fold

    def hash(self) -> str:
        """16 hex digits that stand for the contents of the table: its columns, their cells and names."""
        digest = hashlib.sha256(repr(list(self.table.frame.columns)).encode())
        cells = needs("pandas").util.hash_pandas_object(self.table.frame, index=False)
        digest.update(cells.to_numpy().tobytes())
        if self.table.pixels is not None:
            digest.update(repr((self.table.shape, self.table.pixels.dtype.str)).encode())
            digest.update(np.ascontiguousarray(self.table.pixels).data)
        return digest.hexdigest()[:16]


def pose(data: Any, options: TrainOptions) -> Problem:
    """Read, understand and split a table.

    Args:
        data: a path ("-" is the standard input), a name in `SOURCES`, a data frame, a `Table` or a `Dataset`.

    Raises: ValueError, in one line, for a table, a column or an option that cannot be used.
    """
    for name in ("seed", "split_seed"):
        if (seed := getattr(options, name)) is not None and seed < 0:
            raise ValueError(f"`{name}` must be at least 0, got {seed}")
    table, task = read(data, options, options.model in SHAPED or options.numbers == "pixels")
    _check_shape(table, options)
    wishes = {name: getattr(options, name) for name in COLUMNS}
    if options.group is not None and options.group == (options.target or table.frame.columns[-1]):
        raise ValueError(f"`group={options.group}`: it is the target")
    if options.group in table.frame and options.group not in options.only:
        wishes["id"] = (*options.id, str(options.group))  # other groups are to be predicted
    understanding = understand(table, options.target, task=task, **wishes)
    how = {"seed": options.seed_of_split, "group": options.group, "time": options.time}
    how |= {"fractions": options.split, "calibration": 0.0 if options.cv else None}
    if options.test is None:
        how["test_rows"] = np.arange(len(table.frame))[-table.test_rows :] if table.test_rows else None
        return Problem(table, understanding, understanding.y, split_rows(understanding, table, **how))
    test, _ = read(options.test, dataclasses.replace(options, target=understanding.target), bool(table.shape))
    whole, y = _with_test(table, understanding, test)
    rows = split_rows(understanding, table, **how, test_rows=np.arange(0))
    known = np.flatnonzero(y >= 0 if understanding.classes else np.isfinite(y))
    judges = known[known >= len(table.frame)]
    if not len(judges):
        raise ValueError(f"`test={options.test}`: no row has a target {understanding.target!r} that training rows have")
    lost = len(test.frame) - len(judges)
    said = [f"{counted(lost, 'row')} of {options.test} without a target that training rows have are left out"]
    remarks = (*rows.remarks, *(said if lost else []))
    return Problem(whole, understanding, y, dataclasses.replace(rows, test=judges, remarks=remarks))


def _check_shape(table: Table, options: TrainOptions) -> None:
    """Raise ValueError if the model or the encoding of numbers does not fit rows with, or without, a shape."""
    if table.pixels is None and options.numbers == "pixels":
        raise ValueError(f"`numbers=pixels` is of images or series, and {table.origin} have no `shape`")
    if table.pixels is not None and options.numbers not in (None, "pixels"):
        raise ValueError(f"`numbers={options.numbers}` is of columns, and {table.origin} are {described(table.shape)}")


def read(data: Any, options: ReadingOptions, pixels: bool = False) -> tuple[Table, str | None]:
    """The table, and its task where that is known.

    Args:
        pixels: whether a data set by name whose rows have a shape is read as rows of this shape, not as columns.
    """
    table, task = _read(data, options, pixels)
    if options.shape and table.pixels is not None and options.shape != table.shape:
        raise ValueError(f"`shape={' '.join(map(str, options.shape))}`: {table.origin} are {described(table.shape)}")
    if options.shape and table.pixels is None:
        table = shaped(table, options.shape, options.target or str(table.frame.columns[-1]))
    return table, task


def _read(data: Any, options: ReadingOptions, pixels: bool) -> tuple[Table, str | None]:
    is_read = isinstance(data, Table) or (isinstance(data, (str, os.PathLike)) and os.fspath(data) not in SOURCES)
    asked_before = getattr(options, "resume", False)  # of a stored run, whose options stay what they were
    for option in () if is_read or asked_before or getattr(options, "test", None) else READING:
        if getattr(options, option) not in (None, ()):
            raise ValueError(f"`{option}` is of reading a file, and {_named(data)} is none")
    if isinstance(data, Table):
        return data, options.task
    if hasattr(data, "columns"):
        return frame_table(data), options.task
    if isinstance(data, Dataset):
        return table_of(data, pixels), options.task or data.task
    if not isinstance(data, (str, os.PathLike)):
        raise TypeError(f"train: a path, a data frame, a Table or a Dataset is needed, got {type(data).__name__}")
    name = os.fspath(data)
    if name in SOURCES:
        dataset = load(name)
        return table_of(dataset, pixels or bool(options.shape)), options.task or dataset.task
    if not any(each in name for each in "./-") and not os.path.exists(name):
        raise ValueError(f"there is no file and no data set {name!r}; {nearest(name, SOURCES)}")
    reading = {name: getattr(options, name) for name in READING}
    known = None if options.target is None else (options.target,)  # None: the last column
    as_text = (*(known or () if options.task == "classification" else ()), *options.categorical)
    return read_table(name, **reading, shape=options.shape, keep_text=known, as_text=as_text), options.task


def _named(data: Any) -> str:
    return repr(data) if isinstance(data, (str, os.PathLike)) else f"a {type(data).__name__}"


def frame_table(frame: Any, used: Container[str] | None = None) -> Table:
    """A data frame of pandas, or of a library that converts to it, as a table.

    Args:
        used: the columns that are looked at; None for all.
    """
    frame = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
    frame = frame.reset_index(drop=True)
    frame, notes = plain_frame(frame.set_axis([str(name) for name in frame.columns], axis=1), used)
    return Table(frame, "table", f"a data frame of {len(frame):,} rows", notes)


def table_of(dataset: Dataset, pixels: bool = False) -> Table:
    """A data set as a table, whose last column is the target: numbers, or the names of the classes.

    Args:
        pixels: whether rows that are images or series stay such, beside the target, and are not columns.

    >>> print(gd.runs.table_of(gd.data.load("wine")).frame.shape)
    (178, 14)
    >>> print(gd.runs.table_of(gd.data.load("digits"), pixels=True).pixels.shape)
    (1797, 8, 8, 1)
    """
    import pandas

    rows = dataset.x.reshape(-1, *dataset.shape) if pixels and dataset.shape else None
    columns = dataset.x if rows is None else np.empty((len(rows), 0))
    names = () if rows is not None else dataset.feature_names
    frame = pandas.DataFrame(columns, columns=list(names)).astype(np.float64)
    names = np.array(dataset.target_names, object)
    target = pandas.Series(names[dataset.y], dtype="str") if len(names) else dataset.y.astype(np.float64)
    name = "target" if "target" not in frame.columns else "the target"
    origin = f"{len(frame):,} rows of {dataset.name}"
    frame = frame.assign(**{name: target})
    return Table(frame, dataset.name, origin, pixels=rows, test_rows=dataset.test_rows)


def _with_test(table: Table, understanding: Understanding, test: Table) -> tuple[Table, np.ndarray]:
    """The table with the rows of a test file below its own, and the targets of all rows."""
    import pandas

    used = [*(column.name for column in understanding.columns), understanding.target]
    if table.shape != test.shape:
        here, there = (described(each.shape) if each.shape else "rows of columns" for each in (table, test))
        raise ValueError(f"{test.origin} must be {here}, as {table.origin}, got {there}")
    absent = [name for name in used if name not in test.frame.columns]
    if absent:
        raise ValueError(f"{test.origin} must have the columns of {table.origin}; absent: {', '.join(absent)}")
    columns = {name: _alike(cells_of(test.frame, name), cells_of(table.frame, name)) for name in used}
    frame = pandas.concat([table.frame, pandas.DataFrame(columns)], ignore_index=True)
    there = targets(test, understanding.target, understanding.classes)
    pixels = None if table.pixels is None else np.concatenate([table.pixels, test.pixels])  # type: ignore[list-item]
    whole = dataclasses.replace(table, frame=frame, lines=None, text={}, pixels=pixels, test_rows=0)
    return whole, np.concatenate([understanding.y, there])


def _alike(cells: pandas.Series, others: pandas.Series) -> pandas.Series:
    """The cells as text where the others are: 1.0 among them is "1"."""
    return texts(cells) if is_text(others) else cells


def reading_of(options: TrainOptions) -> Mapping[str, Any]:
    """What the options say of reading, columns and split, in the types of JSON."""
    said = {name: getattr(options, name) for name in ("target", "task", "shape", *READING, *COLUMNS, *SPLIT)}
    return {name: list(x) if isinstance(x, tuple) else x for name, x in said.items() if x not in (None, ())}


def targets(table: Table, name: str, classes: Sequence[str]) -> np.ndarray:
    """The targets of another table: float64, NaN where there is none, or positions in the classes, -1 where it is none.

    Raises: ValueError if the column is not there.
    """
    if name not in table.frame.columns:
        raise ValueError(f"{table.origin} must have the target {name!r}; {nearest(name, table.frame.columns)}")
    if not classes:
        return numbers(cells_of(table.frame, name))[0]
    return labels(table.text.get(name, texts(cells_of(table.frame, name))), classes)
