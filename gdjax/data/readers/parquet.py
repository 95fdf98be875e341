"""A table from a Parquet file."""

from __future__ import annotations

from typing import Any

from gdjax.data.errors import DataError, in_one_line
from gdjax.data.parquet import pyarrow
from gdjax.data.readers.columns import Options
from gdjax.data.readers.contents import Contents
from gdjax.data.readers.headers import distinct
from gdjax.data.readers.text import Found
from gdjax.data.readers.typed import typed_column


def read_parquet(source: Contents, options: Options) -> Found:
    """The columns of a Parquet file; the index of a pandas frame is one of them unless it only numbers the rows."""
    parquet, notes = pyarrow("pyarrow.parquet"), list(source.notes)
    with source.open() as stream:
        frame = parquet.read_table(stream).to_pandas(types_mapper=_nullable, ignore_metadata=True)
    if not len(frame):
        raise DataError(f"{source.name}: empty: there is a header and no row below it")
    names, renamed = distinct(list(map(str, frame.columns)))
    columns = {name: typed_column(name, frame.iloc[:, j], options) for j, name in enumerate(names)}
    problems = [problem for column in columns.values() for problem in column.problems]
    if problems:
        raise in_one_line(source.name, [text for _, text in problems])
    index = columns.get("__index_level_0__")
    if index is not None and index.values.dtype.kind == "i":
        del columns["__index_level_0__"]
        notes.append("the index, which has no name, numbers the rows and is left out")
    return Found(columns, None, (*notes, *renamed, *(note for column in columns.values() for note in column.notes)))


def _nullable(kind: Any) -> Any:
    """The pandas type of whole numbers, which keeps them exact beside missing ones."""
    import pandas

    return pandas.Int64Dtype() if str(kind) == "int64" else pandas.UInt64Dtype() if str(kind) == "uint64" else None
