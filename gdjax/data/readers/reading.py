"""A table from a file of any format."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gdjax.data.errors import DataError
from gdjax.data.readers.columns import Options
from gdjax.data.readers.contents import Contents, contents_of
from gdjax.data.readers.text import read_text
from gdjax.data.table import Table


def read_table(
    path: str | os.PathLike[str],
    *,
    sep: str | None = None,
    header: bool | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    missing: Sequence[str] = (),
    keep_text: Sequence[str] = (),
    as_text: Sequence[str] = (),
    lenient: bool = False,
) -> Table:
    """The table of a file: CSV or another text with delimiters, packed or not, Parquet, ARFF, Excel, `.npz`.

    What was recognized is told in `notes`. All problems of a file are told in one error.

    Args:
        path: of the file, whatever its ending; "-" is standard input.
        sep: the delimiter (default: as recognized); " " is any run of blanks.
        header: whether the first line names the columns (default: as recognized); the names are column_1, ... without it.
        decimal: the decimal mark, "." or "," (default: as recognized).
        encoding: of the text (default: as recognized).
        missing: words, or numbers such as "-999", that stand for missing values besides empty cells, NA, ? and the like.
        keep_text: columns whose text is kept in `Table.text` beside their numbers.
        as_text: columns that stay text, where only empty cells and the words of `missing` are missing.
        lenient: whether a column of numbers with a few cells that are none is left as text, not refused.

    Raises: DataError, in one line.

    >>> with open("prices.csv", "w") as file:
    ...     _ = file.write("Zimmer;Preis\\n2;900,50\\n3;1.400,00\\n")
    >>> table = gd.data.read_table("prices.csv")
    >>> print(table.frame["Preis"].tolist(), table.notes[0])
    [900.5, 1400.0] the delimiter is ';'
    """
    if decimal not in (None, ".", ","):
        raise ValueError(f"read_table: decimal must be '.' or ',', got {decimal!r}")
    _check_pandas()
    options = Options(
        decimal=decimal or ".",
        given=decimal is not None,
        proven=decimal is not None,
        missing=frozenset(missing),
        as_text=frozenset(as_text),
        lenient=lenient,
    )
    with contents_of(path) as source:
        if source.format != "text":
            raise DataError(f"{source.name}: {source.format} is not read yet")
        columns, lines, notes = read_text(source, options, sep, header, encoding, frozenset(keep_text))
        return _table(source, columns, lines, notes, keep_text)


def _check_pandas() -> None:
    try:
        importlib.import_module("pandas")
    except ImportError as error:
        raise ImportError("a table needs pandas: pip install 'gdjax[lab]'") from error


def _table(source: Contents, columns, lines: np.ndarray | None, notes: tuple[str, ...], keep_text) -> Table:
    import pandas

    frame = pandas.DataFrame({name: column.values for name, column in columns.items()}, copy=False)
    texts = {name: columns[name].text for name in keep_text if name in columns and columns[name].text is not None}
    path = Path(source.name)
    name = path.name.partition(".")[0] if source.name != "standard input" else "table"
    return Table(frame, name, f"{len(frame):,} rows of {path.name}", notes, lines, texts)
