"""The delimiter of a text: the one that cuts its lines into the same number of cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from gdjax.data.readers.cells import number_of
from gdjax.data.readers.headers import title_of
from gdjax.data.readers.records import Dialect, Records

CANDIDATES = ["\t", ";", "|", ",", "\x01", "\x1f", "^", "~", ":", " "]  # the first of equals is taken
NAMES = {
    "\t": "a tab",
    " ": "blanks",
    "  ": "two blanks or more",
    "\x01": "the character 1",
    "\x1f": "the character 31",
}
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
        return found._replace(sep=sep if sep.strip() or sep == "\t" else sep[:2])
    scores = {each: _score(lines[:LINES], found._replace(sep=each)) for each in CANDIDATES}
    best = max(CANDIDATES, key=lambda each: scores[each])
    if scores[best] == NO_DELIMITER:
        return found._replace(sep=_of_first_line(lines[:LINES], found))
    if (
        best != " "
        and scores[" "][0]
        and not any(_numeric(found._replace(sep=best).cells(line)) for line in lines[:20])
    ):
        best = " "  # numbers in columns of blanks, and a text behind a tab
    if best == " " and _is_wide(lines[:LINES], found):
        best = "  "
    return found._replace(sep=best)


def _is_wide(lines: Sequence[str], dialect: Dialect) -> bool:
    """Whether two blanks or more, and not one, cut names and rows into the same number of cells."""
    one, two = ({record.width for record in Records(lines, dialect._replace(sep=sep))} for sep in (" ", "  "))
    return len(one) > 1 and len(two) == 1 and two != {1}


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
    widths = Counter(map(len, records[1:] or records))
    if not widths:
        return NO_DELIMITER
    width, _ = max(widths.items(), key=lambda each: (each[1], each[0]))
    top = title_of(records, width)
    below = records[top:]
    first, rows = len(below[0]), below[1:] or below
    share = sum(len(record) == width for record in rows) / len(rows)
    if width == 1 or share < 0.5 or (first != width and not _is_near(below, width)):
        return NO_DELIMITER
    if dialect.sep == ":" and _numeric(below[0]):
        return NO_DELIMITER
    if dialect.sep == " " and sum(map(_numeric, below)) < 0.5 * len(below):
        return NO_DELIMITER
    full = share >= 0.98
    return full and not top, full, share


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
