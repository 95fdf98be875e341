"""A table from a workbook of Excel: its first sheet that holds one."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax.data.errors import DataError, in_one_line
from gdjax.data.readers.columns import Options
from gdjax.data.readers.contents import Contents, damaged
from gdjax.data.readers.footers import footer
from gdjax.data.readers.headers import start_of
from gdjax.data.readers.layouts import SAMPLE
from gdjax.data.readers.text import Found
from gdjax.data.readers.typed import text_of, typed_column
from gdjax.data.readers.unnamed import without_unnamed


def read_excel(source: Contents, options: Options, header: bool | None) -> Found:
    """The columns of a sheet, whose header is found as in a CSV file; its cells keep their types."""
    sheet, notes = _sheet(source)
    frame = sheet.dropna(how="all").dropna(how="all", axis=1)
    lines = frame.index.to_numpy() + 1
    if not len(frame):
        raise DataError(f"{source.name}: empty")
    sample = [list(map(_shown, row)) for row in frame.head(SAMPLE).to_numpy()]
    start = start_of(sample, lines.tolist(), header)
    labels = {row[0] for row in sample[start.first : -1]}
    last = len(frame)
    while last - start.first > 1 and (cell := footer([*map(_shown, frame.iloc[last - 1])], start.width, labels)):
        last -= 1
        notes.append(f"line {lines[last]} below the table, {cell[:40]!r}, is left out")
    rows, lines = frame.iloc[start.first : last], lines[start.first : last]
    if not len(rows):
        raise DataError(f"{source.name}: empty: there is a header and no row below it")
    cells = (rows.iloc[:, j].infer_objects() for j in range(start.width))
    columns = {name: typed_column(name, each, options, lines) for name, each in zip(start.names, cells, strict=True)}
    problems = [problem for column in columns.values() for problem in column.problems]
    if problems:
        raise in_one_line(source.name, [text for _, text in sorted(problems)])
    return Found(columns, np.asarray(lines), without_unnamed(columns, start, [*notes, *start.notes]))


def _shown(value: Any) -> str:
    return "" if value is None or value != value else text_of(value).strip()


def _sheet(source: Contents) -> tuple[Any, list[str]]:
    """The first sheet with at least two cells, and notes."""
    import pandas

    try:
        with source.open() as stream, pandas.ExcelFile(stream) as book:
            for name in book.sheet_names:
                sheet = pandas.read_excel(
                    book, sheet_name=name, header=None, dtype=object, keep_default_na=False, na_values=[""]
                )
                if sheet.notna().to_numpy().sum() > 1:
                    more = len(book.sheet_names) > 1
                    return sheet, [
                        *source.notes,
                        *([f"sheet {name!r} of {len(book.sheet_names)} is read"] if more else []),
                    ]
    except ImportError as error:
        kind = "xlrd" if source.head.startswith(b"\xd0\xcf") else "openpyxl: pip install 'gdjax[data]'"
        raise ImportError(f"a workbook of this kind needs {kind}") from error
    except (KeyError, IndexError, TypeError) as error:
        raise damaged(source.name, error) from None
    raise DataError(f"{source.name}: empty")
