"""The delimiter of a text: the one that cuts its lines into the same number of cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from gdjax.data.readers.cells import number_of
from gdjax.data.readers.records import Dialect, Records

CANDIDATES = ["\t", ";", "|", ",", "\x01", "\x1f", "^", "~", ":", " "]  # the first of equals is taken
NAMES = {"\t": "a tab", " ": "blanks", "\x01": "the character 1", "\x1f": "the character 31"}
LINES = 500
NO_DELIMITER = (False, False, 0.0)
NONE = "\x1f"  # between cells of which there is only one
_HINT = re.compile(r'\s*"?sep=(.)"?[,;\s]*', re.IGNORECASE)


def hinted(line: str) -> str | None:
    """The delimiter that a first line such as `sep=;` names, as Excel writes it."""
    found = _HINT.fullmatch(line)
    if line.strip().strip('"').lower() == "sep=":  # a tab, at the end of the line
        return "\t"
    return found[1] if found else None


def dialect_of(lines: Sequence[str], sep: str | None = None) -> Dialect:
    """The dialect of the lines of a sample, whose delimiter may be given."""
    text = "".join(lines)
    comment = "#" if lines and lines[0].startswith("#") else ""
    found = Dialect(sep or ",", _quote(text), _escape(text), comment)
    if sep is not None:
        return found._replace(sep=sep if sep.strip() or sep == "\t" else " ")
    scores = {each: _score(lines[:LINES], found._replace(sep=each)) for each in CANDIDATES}
    best = max(CANDIDATES, key=lambda each: scores[each])
    return found._replace(sep=best if scores[best] != NO_DELIMITER else _of_first_line(lines[:LINES], found))


def named(sep: str) -> str:
    """The delimiter in words."""
    return NAMES.get(sep, repr(sep))


def _of_first_line(lines: Sequence[str], dialect: Dialect) -> str:
    """The delimiter in the first line and most others, though their cells differ in number; NONE for a single column."""
    for sep in (";", "\t", "|", ","):
        records = [record.width for record in Records(lines, dialect._replace(sep=sep))]
        if records and records[0] > 1 and sum(width > 1 for width in records[1:]) > 0.5 * len(records[1:]):
            return sep
    return NONE


def _quote(text: str) -> str:
    single = re.findall(r"(?:^|[,;\t|])'[^'\n]*'(?=[,;\t|\n])", text, re.MULTILINE)
    return "'" if len(single) > 1 and '"' not in text else '"'


def _escape(text: str) -> str | None:
    return "\\" if re.search(r'\\"[^,;\t|\n"]', text) else None


def _score(lines: Sequence[str], dialect: Dialect) -> tuple[bool, bool, float]:
    """(whether almost all records from the first on have one width above 1, whether those below a title have, the share
    of records that have it); 0 where it is no delimiter."""
    records = [dialect.cells(record.text) for record in Records(lines, dialect)]
    below = _below_title(records)
    widths = Counter(map(len, below[1:] or below))
    if not widths:
        return NO_DELIMITER
    width, _ = max(widths.items(), key=lambda each: (each[1], each[0]))
    first, share = len(below[0]), widths[width] / sum(widths.values())
    if width == 1 or share < 0.5 or (first != width and not _is_near(below, width)):
        return NO_DELIMITER
    if dialect.sep == ":" and _numeric(below[0]):
        return NO_DELIMITER
    if dialect.sep == " " and sum(map(_numeric, below)) < 0.5 * len(below):
        return NO_DELIMITER
    full = share >= 0.98
    if len(below) < len(records):
        return (False, True, share) if full and first == width else NO_DELIMITER
    return full, full, share


def _below_title(records: list[list[str]]) -> list[list[str]]:
    """The records without lines of one cell above names of columns."""
    top = 0
    while top + 2 < len(records) and len(records[top]) == 1:
        top += 1
    return records[top:] if top and len(records[top]) > 1 and not _numeric(records[top]) else records


def _is_near(records: Sequence[Sequence[str]], width: int) -> bool:
    """Whether the first record lacks the name of the first column or the empty cell at the end, or has one more."""
    first = len(records[0])
    return (
        first == width - 1 > 1
        or (first == width + 1 and not records[0][-1])
        or (first == width - 1 and not any(record[-1] for record in records[1:]))
    )


def _numeric(cells: Sequence[str]) -> bool:
    return any(number_of(cell) is not None for cell in cells)
