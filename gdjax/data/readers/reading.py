"""A table from a file of any format."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gdjax.data.errors import DataError
from gdjax.data.readers.arff import read_arff
from gdjax.data.readers.columns import Column, Options
from gdjax.data.readers.contents import DAMAGE, Contents, contents_of, damaged
from gdjax.data.readers.excel import read_excel
from gdjax.data.readers.folder import read_folder
from gdjax.data.readers.idx import read_idx
from gdjax.data.readers.images import Images, column, images_of, table_name
from gdjax.data.readers.layouts import layout_of
from gdjax.data.readers.npz import read_arrays, read_npz
from gdjax.data.readers.parquet import read_parquet
from gdjax.data.readers.sentinels import without_sentinels
from gdjax.data.readers.text import Found, read_text
from gdjax.data.readers.typed import texts_of
from gdjax.data.table import Table

SPOKEN = {"tab": "\t", "\\t": "\t", "space": " "}  # delimiters that are hard to write on a command line


def read_table(
    path: str | os.PathLike[str],
    *,
    sep: str | None = None,
    header: bool | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    missing: Sequence[str] = (),
    keep_text: Sequence[str] | None = (),
    as_text: Sequence[str] = (),
    lenient: bool = False,
    shape: tuple[int, ...] = (),
) -> Table:
    """The table of a file: CSV or another text with delimiters, packed or not, Parquet, ARFF, Excel, `.npz`.

    An array with three or more axes in `.npz`, a file of MNIST's IDX and a folder of PNG images, one sub-folder for each
    class, hold images or series: the rows of the table are then its `pixels`.

    What was recognized is told in `notes`. All problems of a file are told in one error.

    Args:
        path: of the file, whatever its ending; "-" is standard input.
        sep: the delimiter (default: as recognized), or "tab" or "space"; " " is any run of blanks.
        header: whether the first line names the columns (default: as recognized); the names are column_1, ... without it.
        decimal: the decimal mark, "." or "," (default: as recognized).
        encoding: of the text (default: as recognized).
        missing: words, or numbers such as "-999", that stand for missing values besides empty cells, NA, ? and the like.
        keep_text: columns whose text is kept in `Table.text` beside their numbers; None for the last one.
        as_text: columns that stay text, where only empty cells and the words of `missing` are missing.
        lenient: whether a bad cell spoils no more than itself: a column of numbers with cells that are none is left as
            text, and a row with a wrong number of cells has only missing ones.
        shape: of a row of an array (n, a, b), which may be images (a, b, 1) or series (a, b); recognized if not given.

    Raises: DataError, in one line.

    >>> with open("prices.csv", "w") as file:
    ...     _ = file.write("Zimmer;Preis\\n2;900,50\\n3;1.400,00\\n")
    >>> table = gd.data.read_table("prices.csv")
    >>> print(table.frame["Preis"].tolist(), table.notes[0])
    [900.5, 1400.0] the delimiter is ';'
    """
    if decimal not in (None, ".", ","):
        raise ValueError(f"read_table: decimal must be '.' or ',', got {decimal!r}")
    if encoding is not None and not _is_encoding(encoding):
        raise ValueError(f"read_table: encoding must be a text encoding, got {encoding!r}")
    options = Options(
        decimal=decimal or ".",
        given=decimal is not None,
        proven=decimal is not None,
        missing=frozenset(missing),
        as_text=frozenset(as_text),
        lenient=lenient,
    )
    return table_of(path, options, SPOKEN.get(sep or "", sep), header, encoding, keep_text, shape=shape)


def table_of(
    path: str | os.PathLike[str],
    options: Options | None = None,
    sep: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    keep_text: Sequence[str] | None = (),
    numbers: Sequence[str] = (),
    folder: Path | None = None,
    shape: tuple[int, ...] = (),
) -> Table:
    """As `read_table`, for callers of this room.

    Args:
        numbers: columns that must hold numbers; what is wrong in others is then no error.
        folder: where the numbers of a text are kept, so that they need no memory.
    """
    _check_pandas()
    options = options or Options(numbers=frozenset(numbers), lenient=bool(numbers))
    texts = None if keep_text is None else frozenset(keep_text)
    if os.path.isdir(path):
        return _table_of_images(os.fspath(path), read_folder(Path(path)))
    with contents_of(path) as source:
        try:
            if (images := _images(source, shape)) is not None:
                return _table_of_images(source.name, images, source.notes)
            if source.format == "text":
                found = read_text(layout_of(source, sep, header, encoding), options, texts, folder)
            elif source.format == "arff":
                found = read_arff(source, options, encoding, texts)
            elif source.format == "excel":
                found = read_excel(source, options, header)
            else:
                found = (read_parquet if source.format == "parquet" else read_npz)(source, options)
        except DataError:
            raise
        except DAMAGE as error:
            raise damaged(source.name, error) from None
        return _table(source, found, keep_text, guess=not options.missing)


def _images(source: Contents, shape: tuple[int, ...]) -> Images | None:
    """The images or series of a file; None if it holds columns."""
    if source.format == "idx":
        return read_idx(source, shape)
    return images_of(source.name, read_arrays(source), shape) if source.format == "npz" else None


def _table_of_images(path: str, images: Images, notes: tuple[str, ...] = ()) -> Table:
    import pandas

    rows = len(images.pixels)
    frame = pandas.DataFrame({name: column(each) for name, each in images.columns.items()}, index=range(rows))
    origin = f"{rows:,} rows of {Path(path).name}"
    notes = (*notes, *images.notes)
    return Table(frame, table_name(path), origin, notes, pixels=images.pixels, test_rows=images.test_rows)


def _is_encoding(name: str) -> bool:
    try:
        "".encode(name)
    except (LookupError, ValueError):
        return False
    return True


def _check_pandas() -> None:
    try:
        importlib.import_module("pandas")
    except ImportError as error:
        raise ImportError("a table needs pandas: pip install 'gdjax[lab]'") from error


def _table(source: Contents, found: Found, keep_text: Sequence[str] | None, guess: bool) -> Table:
    import pandas

    columns = {name: without_sentinels(name, column, guess) for name, column in found.columns.items()}
    frame = pandas.DataFrame({name: column.values for name, column in columns.items()}, copy=False)
    notes = dict.fromkeys([*found.notes, *(note for column in columns.values() for note in column.notes)])
    kept = list(columns)[-1:] if keep_text is None else keep_text
    texts = {name: _kept(columns[name]) for name in kept if name in columns}
    path = Path(source.name)
    name = path.stem if source.name != "standard input" else "table"
    name = name.removesuffix(Path(name).suffix) if source.notes else name  # t.csv.gz
    return Table(frame, name, f"{len(frame):,} rows of {path.name}", tuple(notes), found.lines, texts)


def _kept(column: Column) -> Any:
    """The text of the cells, made from their values where a file holds no text."""
    import pandas

    return column.text if column.text is not None else texts_of(pandas.Series(column.values))
