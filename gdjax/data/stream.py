"""Rows on disk, read by their numbers: a folder of memory-mapped arrays, or a Parquet file.

    folder/rows.json     the number of rows, the tree, and of each leaf: file, dtype, shape of a row, bytes, SHA-256
    folder/0.npy ...     an array per leaf, in NumPy's own format

`write_rows` writes such a folder and `open_rows` opens it. The rows stay on disk; what was read lately is kept by the
operating system, not by this process. A file that is missing, short or corrupt raises a `DataError` that names it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gdjax.data.arrays import num_rows
from gdjax.data.errors import DataError
from gdjax.data.parquet import ParquetRows
from gdjax.data.rows import as_leaves
from gdjax.files import folder_written_whole
from gdjax.tree import path_string
from gdjax.types import Batch, Source

NAME, VERSION = "rows.json", 1
CHUNK = 1 << 24  # bytes that are written or hashed at once


def open_rows(path: str | os.PathLike[str], target: str | None = None, verify: bool = True) -> Source:
    """Rows on disk as a `Source`, which `fit` and `segments` take as data.

    Args:
        path: a folder that `write_rows` wrote, or a Parquet file (extra `data`), whose rows are pairs (x, y).
        target: the column of a Parquet file that is y (default: the one noted when it was converted, else the last); all
            others are the features x. They must hold numbers.
        verify: whether to read all of a folder once and compare its SHA-256; False for data of which a pass takes long. The
            sizes of the files are compared in any case. A Parquet file has a checksum in every page, which is compared
            whenever it is read.

    Raises: DataError, which names the file.

    >>> _ = gd.data.write_rows("squares", (np.arange(5.0), np.arange(5.0) ** 2))
    >>> source = gd.data.open_rows("squares")
    >>> print(len(source), source.rows([3, 1]))
    5 (array([3., 1.]), array([9., 1.]))
    """
    path = Path(path)
    if path.suffix.lower() in (".parquet", ".pq"):
        return ParquetRows(path, target)
    if not path.is_dir():
        raise DataError(f"{path}: {'neither a folder nor a .parquet file' if path.exists() else 'no such folder'}")
    if target is not None:
        raise ValueError(f"open_rows: target is chosen when a table is converted to a folder, got target={target!r}")
    source = MappedRows(path)
    if verify:
        source.verify()
    return source


def write_rows(
    folder: str | os.PathLike[str],
    data: Any,
    overwrite: bool = False,
    about: dict[str, Any] | None = None,
) -> MappedRows:
    """Write rows to a folder from which they can be read by their numbers, and open it.

    Args:
        folder: made when all of it is written.
        data: a pytree of arrays (nested tuples, lists and dicts) that share their leading axis, a `Dataset`, a `Source`, or
            an iterator of such parts, one after the other, for data larger than memory.
        overwrite: whether to replace a folder of rows that is there.
        about: what else to note in rows.json, `source.about`; values of JSON.

    Raises: FileExistsError if the folder is there; TypeError for text, ValueError for parts that differ in structure, dtype
        or shape.

    >>> source = gd.data.write_rows("halves", ({"x": np.full((2, 3), i), "y": np.arange(2)} for i in range(4)))
    >>> print(len(source), source.rows([2])["x"])
    8 [[1 1 1]]
    """
    folder = Path(folder)
    with folder_written_whole(folder, NAME if overwrite else None) as draft:
        structure, files = None, []
        for part in _parts(data):
            leaves = [(path_string(path), _array(path, leaf)) for path, leaf in _leaves(part)]
            if structure is None:
                structure = jax.tree.structure(part)
                files = [ArrayFile(draft / f"{i}.npy", x.dtype, x.shape[1:]) for i, (_, x) in enumerate(leaves)]
            if jax.tree.structure(part) != structure:
                raise ValueError(f"write_rows: all parts must be built alike, got {jax.tree.structure(part)}")
            for file, (where, x) in zip(files, leaves, strict=True):
                file.append(x, where)
        if structure is None or not files[0].rows:
            raise ValueError("write_rows: there must be at least one row, got none")
        write_index(
            draft, _encode(jax.tree.unflatten(structure, [file.close() for file in files])), files[0].rows, about
        )
    return MappedRows(folder)


class ArrayFile:
    """A .npy file that is written part by part; its header is written again in the end, when the rows are known."""

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    rows: int

    def __init__(self, path: Path, dtype: Any, shape: tuple[int, ...]):
        self.path, self.dtype, self.shape, self.rows = path, np.dtype(dtype).newbyteorder("<"), shape, 0
        self._hash = hashlib.sha256()
        self.path.touch()
        self._start = self._write_header()

    def append(self, x: np.ndarray, where: str = "") -> None:
        if x.dtype.newbyteorder("<") != self.dtype or x.shape[1:] != self.shape:
            got, need = f"{x.dtype} {x.shape[1:]}", f"{self.dtype} {self.shape}"
            raise ValueError(
                f"write_rows: all parts must have rows of one dtype and shape, got {got} after {need} at {where}"
            )
        step = max(1, CHUNK // max(1, self.dtype.itemsize * int(np.prod(self.shape))))
        with self.path.open("ab") as file:
            for i in range(0, len(x), step):
                entries = np.ascontiguousarray(x[i : i + step], self.dtype).tobytes()
                file.write(entries)
                self._hash.update(entries)
        self.rows += len(x)

    def close(self) -> dict[str, Any]:
        """Write the header. Returns: the entry of the file in the index."""
        if self._write_header() != self._start:
            raise ValueError(f"write_rows: {self.rows} rows do not fit in the header of {self.path.name}")
        about = {"dtype": self.dtype.str, "shape": list(self.shape), "bytes": self.path.stat().st_size}
        return {"file": self.path.name, **about, "sha256": self._hash.hexdigest()}

    def _write_header(self) -> int:
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.rows, *self.shape)}
        with self.path.open("r+b") as file:
            np.lib.format.write_array_header_1_0(file, header)
            return file.tell()


class MappedRows:
    """A folder of `write_rows` as a `Source`: `rows(indices)` reads those rows alone.

    `about` is what was noted when it was written; `digest` stands for all of the contents.
    """

    about: dict[str, Any]
    digest: str

    def __init__(self, folder: Path):
        self.folder = folder
        index = _read_index(folder)
        self._length, self.about, self.digest = index["rows"], index["about"], index["sha256"]
        self._entries = _decode(index["tree"])
        self._arrays = jax.tree.map(self._map, self._entries, is_leaf=_is_entry)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"MappedRows({str(self.folder)!r}, {self._length} rows)"

    def rows(self, indices: Any) -> Batch:
        """The rows of these numbers, (k,) integers, as NumPy arrays (k, ...)."""
        return jax.tree.map(lambda x: np.take(x, indices, axis=0), self._arrays)

    def verify(self) -> None:
        """Read all files and compare them with their SHA-256. Raises: DataError, which names the first that differs."""
        for entry in jax.tree.leaves(self._entries, is_leaf=_is_entry):
            path, found = self.folder / entry["file"], hashlib.sha256()
            with path.open("rb") as file:
                file.seek(entry["bytes"] - self._length * _row_bytes(entry))
                while chunk := file.read(CHUNK):
                    found.update(chunk)
            if found.hexdigest() != entry["sha256"]:
                raise DataError(f"{path}: corrupt: its entries have another SHA-256 than {NAME} notes")

    def _map(self, entry: dict[str, Any]) -> np.ndarray:
        path, size = self.folder / entry["file"], entry["bytes"]
        if not path.is_file():
            raise DataError(f"{path}: missing, though {NAME} lists it")
        if (got := path.stat().st_size) != size:
            raise DataError(f"{path}: {'short' if got < size else 'long'}: it must have {size} bytes, got {got}")
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise DataError(f"{path}: corrupt: {' '.join(str(error).split())}") from None
        got, need = (mapped.dtype.str, mapped.shape), (entry["dtype"], (self._length, *entry["shape"]))
        if got != need:
            raise DataError(f"{path}: corrupt: it must hold {need[0]} {need[1]}, got {got[0]} {got[1]}")
        return np.asarray(mapped)


def write_index(folder: Path, tree: Any, rows: int, about: dict[str, Any] | None) -> None:
    content = {"version": VERSION, "rows": rows, "tree": tree, "about": about or {}}
    (folder / NAME).write_text(json.dumps({**content, "sha256": _digest(content)}, indent=1) + "\n")


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / NAME
    if not path.is_file():
        raise DataError(f"{path}: no such file; gdjax.data.write_rows writes folders that have one")
    try:
        index = json.loads(path.read_text())
        content = {name: value for name, value in index.items() if name != "sha256"}
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path}: corrupt: {' '.join(str(error).split())}") from None
    if index.get("sha256") != _digest(content):
        raise DataError(f"{path}: corrupt: it has another SHA-256 than it notes")
    if index["version"] != VERSION:
        raise DataError(f"{path}: version {VERSION} is needed, got {index['version']}")
    return index


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _row_bytes(entry: dict[str, Any]) -> int:
    return np.dtype(entry["dtype"]).itemsize * int(np.prod(entry["shape"]))


# Trees of tuples, lists and dicts as JSON: {"tuple": [...]}, {"list": [...]}, {"dict": {...}}; a leaf is its entry.


def _is_entry(x: Any) -> bool:
    return isinstance(x, dict) and "sha256" in x


def _encode(tree: Any) -> Any:
    if _is_entry(tree):
        return tree
    if type(tree) in (tuple, list):
        return {type(tree).__name__: [_encode(x) for x in tree]}
    if type(tree) is dict and all(isinstance(name, str) for name in tree):
        return {"dict": {name: _encode(x) for name, x in tree.items()}}
    raise TypeError(f"write_rows: data must be nested tuples, lists and dicts with names, got a {type(tree).__name__}")


def _decode(tree: Any) -> Any:
    if _is_entry(tree):
        return tree
    ((kind, parts),) = tree.items()
    if kind == "dict":
        return {name: _decode(x) for name, x in parts.items()}
    return {"tuple": tuple, "list": list}[kind](map(_decode, parts))


def _parts(data: Any) -> Iterator[Any]:
    """The data as parts whose leaves are arrays."""
    if isinstance(data, Iterator):
        yield from (as_leaves("write_rows", part) for part in data)
    elif is_source(data):
        size = max(1, CHUNK // max(1, sum(np.asarray(x).nbytes for x in jax.tree.leaves(data.rows([0])))))
        yield from (data.rows(np.arange(i, min(i + size, len(data)))) for i in range(0, len(data), size))
    else:
        yield as_leaves("write_rows", data)


def _leaves(part: Any) -> Iterable[tuple[Any, Any]]:
    num_rows(part)
    return jax.tree_util.tree_leaves_with_path(part)


def _array(path: Any, leaf: Any) -> np.ndarray:
    x = np.asarray(leaf)
    if x.dtype.kind not in "biufc":
        raise TypeError(f"write_rows: arrays of numbers or bools are needed, got {x.dtype} at {path_string(path)}")
    return x


def is_source(data: Any) -> bool:
    """Whether data are a `Source`, not an array or a table that happens to have a method `rows`.

    >>> print(gd.data.is_source(gd.data.write_rows("numbers", jnp.arange(3.0))), gd.data.is_source(jnp.arange(3.0)))
    True False
    """
    return isinstance(data, Source) and not hasattr(data, "__array__")
