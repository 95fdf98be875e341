"""Conversion of a table, once, to rows that can be read by their numbers."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gdjax.data.files import Targets, read_parts
from gdjax.data.parquet import write_parquet
from gdjax.data.stream import NAME, ArrayFile, MappedRows, open_rows, write_index, write_rows
from gdjax.files import folder_written_whole
from gdjax.types import Source


def convert(
    table: str | os.PathLike[str],
    out: str | os.PathLike[str],
    target: str | None = None,
    task: str | None = None,
    dtype: str = "float64",
    overwrite: bool = False,
) -> Source:
    """Convert a table to a folder of memory-mapped arrays or a Parquet file; the features are never all in memory.

    Args:
        table: a file with a table of numbers.
        out: a folder, or a name that ends in .parquet.
        target, task: as for `load`.
        dtype: of the features, "float64" or "float32".
        overwrite: whether to replace a folder of rows, or a file, that is there.

    Returns: the source, as `open_rows` opens it, of pairs (x, y); `about` has the task and the names of columns and classes.
    Raises: DataError, which names the file and the place; FileExistsError if something is there.

    >>> with open("flats.csv", "w") as file:
    ...     _ = file.write("rooms,area,price\\n2,50,900\\n3,80,1400.5\\n")
    >>> source = gd.data.convert("flats.csv", "flats")
    >>> print(source.rows([1]), source.about["task"])
    (array([[ 3., 80.]]), array([1400.5])) regression
    """
    table, out = Path(table), Path(out)
    if dtype not in ("float64", "float32"):
        raise ValueError(f"convert: dtype must be float64 or float32, got {dtype!r}")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} is there already")
    if out.suffix.lower() not in (".parquet", ".pq"):
        return _to_folder(table, out, target, task, dtype, overwrite)
    if out.is_dir():
        raise FileExistsError(f"{out} is a folder, which no file replaces")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as draft:
        source = _to_folder(table, Path(draft) / "rows", target, task, dtype)
        write_parquet(Path(draft) / out.name, source, source.about)
        os.replace(Path(draft) / out.name, out)
    return open_rows(out)


def _to_folder(
    table: Path, out: Path, target: str | None, task: str | None, dtype: str, overwrite: bool = False
) -> MappedRows:
    if table.suffix.lower() not in (".parquet", ".pq"):
        with folder_written_whole(out, NAME if overwrite else None) as draft:
            _write_table(draft, table, target, task, dtype)
        return MappedRows(out)
    source: Any = open_rows(table, target)
    if task is not None:
        raise ValueError(
            f"convert: task cannot be chosen for a Parquet file, whose target is taken as it is, got {task!r}"
        )
    parts = (source.rows(np.arange(i, min(i + (1 << 16), len(source)))) for i in range(0, len(source), 1 << 16))
    about = {"feature_names": list(source.columns), "target": source.target, **source.about}
    return write_rows(out, ((x.astype(dtype), y) for x, y in parts), overwrite, about)


def _write_table(draft: Path, table: Path, target: str | None, task: str | None, dtype: str) -> None:
    files: list[ArrayFile] = []

    def take(x: np.ndarray) -> None:
        if not files:
            files.append(ArrayFile(draft / "0.npy", dtype, x.shape[1:]))
        files[0].append(x.astype(dtype))

    found = read_parts(table, take, target, task)
    last = ArrayFile(draft / "1.npy", found.y.dtype, ())
    last.append(found.y)
    entries = [file.close() for file in (*files, last)]
    write_index(draft, {"tuple": entries}, len(found.y), _about(found))


def _about(found: Targets) -> dict[str, Any]:
    about = {"task": found.task, "feature_names": list(found.feature_names), "target": found.target}
    return {**about, "target_names": list(found.target_names)}
