"""Rows of a Parquet file, read by their numbers: the row groups that hold them are decoded one at a time."""

from __future__ import annotations

import collections
import functools
import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from gdjax.data.errors import DataError, nearest
from gdjax.types import Batch, Source

KEEP = 1 << 26  # bytes of decoded row groups that are kept
GROUP = 1 << 16  # rows of a group that is written
METADATA = b"gdjax"


class ParquetRows:
    """A Parquet file of numbers as a `Source` of pairs (x, y): the target y, and all other columns as x, (k, columns).

    A shuffled order touches all row groups, and each is decoded about once for every few hundred batches. For files above
    some hundred megabytes a folder is faster: `gdjax data convert FILE FOLDER`.
    """

    path: Path
    target: str
    columns: tuple[str, ...]

    about: dict[str, Any]

    def __init__(self, path: Path, target: str | None = None):
        self.path, self._kept = path, collections.OrderedDict()
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        parquet = pyarrow("pyarrow.parquet")
        try:
            self._file = parquet.ParquetFile(path, page_checksum_verification=True)
            metadata, names = self._file.metadata, self._file.schema_arrow.names
            self.about = json.loads((metadata.metadata or {}).get(METADATA, b"{}"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: short, corrupt or no Parquet file: {_line(error)}") from None
        self.target = target or self.about.get("target") or names[-1]
        if self.target not in names:
            raise DataError(f"{path}: no column {self.target!r}; {nearest(self.target, names)}")
        self.columns = tuple(name for name in names if name != self.target)
        if not self.columns:
            raise DataError(f"{path}: there must be a column besides the target {self.target!r}")
        self._check_types()
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._starts = np.cumsum([0, *sizes])
        if not len(self):
            raise DataError(f"{path}: there must be at least one row, got none")

    def __len__(self) -> int:
        return int(self._starts[-1])

    @functools.cached_property
    def digest(self) -> str:
        """The SHA-256 of the file, which is read for it."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def __repr__(self) -> str:
        return f"ParquetRows({str(self.path)!r}, {len(self)} rows)"

    def rows(self, indices: Any) -> Batch:
        """The rows of these numbers, (k,) integers: x (k, columns) and y (k,), as NumPy arrays."""
        indices = np.asarray(indices)
        if indices.size and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"{self.path}: rows must be in [0, {len(self)}), got {indices.min()} to {indices.max()}")
        group = np.searchsorted(self._starts, indices, side="right") - 1
        x, y = (
            np.empty((len(indices), *part.shape[1:]), part.dtype)
            for part in self._decode(group[0] if len(group) else 0)
        )
        for i in np.unique(group):
            here = np.flatnonzero(group == i)
            of_x, of_y = self._decode(i)
            x[here], y[here] = (part[indices[here] - self._starts[i]] for part in (of_x, of_y))
        return x, y

    def _decode(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows of a group, from those kept if it is among them."""
        if group in self._kept:
            self._kept.move_to_end(group)
            return self._kept[group]
        try:
            table = self._file.read_row_group(int(group), use_threads=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: corrupt in row group {group}: {_line(error)}") from None
        parts = {name: self._numbers(table.column(name), name) for name in (*self.columns, self.target)}
        y = parts.pop(self.target)
        x = np.empty((len(y), len(parts)), np.result_type(np.float32, *(self._dtypes[name] for name in self.columns)))
        for j, column in enumerate(parts.values()):
            x[:, j] = column
        self._kept[group] = x, y
        while len(self._kept) > 1 and sum(a.nbytes + b.nbytes for a, b in self._kept.values()) > KEEP:
            self._kept.popitem(last=False)
        return x, y

    def _numbers(self, column: Any, name: str) -> np.ndarray:
        if column.null_count:
            raise DataError(f"{self.path}: column {name!r}: {column.null_count} values are missing")
        return column.to_numpy()

    def _check_types(self) -> None:
        types, schema = pyarrow("pyarrow.types"), self._file.schema_arrow
        self._dtypes = {}
        for field in schema:
            if not (types.is_integer(field.type) or types.is_floating(field.type) or types.is_boolean(field.type)):
                raise DataError(f"{self.path}: column {field.name!r}: numbers are needed, got {field.type}")
            self._dtypes[field.name] = field.type.to_pandas_dtype()


def write_parquet(path: Path, source: Source, about: dict[str, Any]) -> None:
    """Write a source of pairs (x, y) in row groups, with a checksum in every page.

    Args:
        about: with "feature_names" and "target", the names of the columns; noted in the file.
    """
    arrow, parquet = pyarrow("pyarrow"), pyarrow("pyarrow.parquet")
    names, writer = [*about["feature_names"], about["target"]], None
    try:
        for i in range(0, len(source), GROUP):
            x, y = source.rows(np.arange(i, min(i + GROUP, len(source))))
            table = arrow.table([*map(np.ascontiguousarray, x.T), y], names=names)
            if writer is None:
                schema = table.schema.with_metadata({METADATA: json.dumps(about).encode()})
                writer = parquet.ParquetWriter(path, schema, write_page_checksum=True)
            writer.write_table(table.cast(writer.schema), row_group_size=GROUP)
    finally:
        if writer is not None:
            writer.close()


def pyarrow(name: str) -> Any:
    """The module. Raises: ImportError that says what to install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError("a Parquet file needs pyarrow: pip install 'gdjax[data]'") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
