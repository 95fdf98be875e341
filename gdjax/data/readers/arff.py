"""A table from an ARFF file: its attributes name the columns and say which hold numbers."""

from __future__ import annotations

import dataclasses
import re
from typing import NamedTuple

from gdjax.data.errors import DataError
from gdjax.data.readers.columns import Options
from gdjax.data.readers.contents import Contents
from gdjax.data.readers.encodings import encoding_of
from gdjax.data.readers.headers import Start, distinct
from gdjax.data.readers.layouts import SAMPLE, Layout, lines_of
from gdjax.data.readers.records import Dialect
from gdjax.data.readers.text import Found, read_text

_ATTRIBUTE = re.compile(r"""\s*@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S+)\s+(.+?)\s*""", re.IGNORECASE)
_NUMERIC = ("numeric", "real", "integer")
_CELL = re.compile(r"""\s*(\d+)\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,}]*)""")


class _Attribute(NamedTuple):
    name: str
    kind: str

    @property
    def is_number(self) -> bool:
        return self.kind.lower() in _NUMERIC

    @property
    def default(self) -> str:
        """What a sparse row means by leaving the cell out: 0, or the first level."""
        levels = self.kind.strip("{}").split(",") if self.kind.startswith("{") else ["0"]
        return levels[0].strip()


def read_arff(source: Contents, options: Options, encoding: str | None, texts: frozenset[str] | None) -> Found:
    """The columns of an ARFF file; nominal attributes, strings and dates are text."""
    notes = list(source.notes)
    if encoding is None:
        encoding, more = encoding_of(source)
        notes += more
    attributes, line = _attributes(source, encoding)
    names, renamed = distinct([each.name for each in attributes])
    sample = [text for text, _ in zip(lines_of(source, encoding, line), range(SAMPLE), strict=False)]
    quote = "'" if sum(text.count("'") - text.count('"') for text in sample) > 0 else '"'
    dialect = Dialect(",", quote, "\\", "%")
    start = Start(0, names, (), len(names), renamed)
    sparse = any(text.lstrip().startswith("{") for text in sample)
    layout = Layout(
        source,
        encoding,
        dialect,
        start,
        line,
        frozenset(),
        (*notes, *renamed),
        rewritten=(lambda text: _dense(text, attributes)) if sparse else None,
    )
    numbers = frozenset(name for name, each in zip(names, attributes, strict=True) if each.is_number) - options.as_text
    options = dataclasses.replace(
        options,
        decimal=".",
        given=True,
        proven=True,
        numbers=numbers,
        as_text=frozenset(names) - numbers,
        missing=options.missing | {"?"},
    )
    return read_text(layout, options, texts)


def _attributes(source: Contents, encoding: str) -> tuple[list[_Attribute], int]:
    """The attributes, and the number of the line of @data."""
    attributes = []
    for number, line in enumerate(lines_of(source, encoding), 1):
        word = line.strip().lower()
        if word.startswith("@data"):
            if not attributes:
                raise DataError(f"{source.name}: there must be an @attribute above @data in line {number}")
            return attributes, number
        if word.startswith("@attribute"):
            found = _ATTRIBUTE.fullmatch(line)
            if found is None or found[2].lower().startswith("relational"):
                raise DataError(
                    f"{source.name}: line {number}: an attribute must have a name and a type, got {line.strip()!r}"
                )
            attributes.append(_Attribute(re.sub(r"\\(.)", r"\1", found[1].strip("'\"")), found[2]))
    raise DataError(f"{source.name}: an ARFF file without @data")


def _dense(line: str, attributes: list[_Attribute]) -> str:
    """A sparse row such as {1 X, 3 7} as all of its cells."""
    text = line.strip()
    if not text.startswith("{"):
        return line
    cells = [each.default for each in attributes]
    for at, cell in _CELL.findall(text):
        if int(at) < len(cells):
            cells[int(at)] = cell.strip()
    return ",".join(cells) + "\n"
