"""What stands below a table: a row of totals, a line with its source."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence

from gdjax.data.readers.cells import number_of
from gdjax.data.readers.records import Dialect, Record

LAST = 5  # records that may be a footer
_TOTAL = re.compile(
    r"(grand |sub)?totals?|total g[eé]n[eé]ral|sum|summe|gesamt(summe)?|insgesamt|somme|suma|totale|mean|average|avg\.?"
    r"|std\.?( ?dev\.?)?|stdev|s\.d\.|standard deviation|median|mittelwert"
    r"|moyenne|итого|всего|合计|总计|合計|总和|합계|총계",
    re.IGNORECASE,
)
_REMARK = re.compile(r"(source|notes?|quelle|anmerkung|footnote|remark)\b|\*|\(\d+ rows?\)", re.IGNORECASE)
_SOURCE = re.compile(r"(source|notes?|quelle|anmerkung)\s*:", re.IGNORECASE)


def without_footer(
    records: Iterable[Record], dialect: Dialect, width: int, labels: frozenset[str], notes: list[str]
) -> Iterator[Record]:
    """The records without the last ones that are no rows of the table, which are noted.

    Args:
        labels: first cells of the table, among which a total is a row like others.
    """
    last: deque[Record] = deque()
    for record in records:
        last.append(record)
        if len(last) > LAST:
            yield last.popleft()
    found = []
    while len(last) > 1 and (cell := footer(_cells(last[-1], dialect), width, labels)):
        found.append(f"line {last.pop().line} below the table, {cell[:40]!r}, is left out")
    notes += reversed(found)
    yield from last


def _cells(record: Record, dialect: Dialect) -> list[str]:
    return dialect.cells(record.text) if record.width else []


def footer(cells: Sequence[str], width: int, labels: Collection[str]) -> str:
    """What the last record of a table says if it is no row of it, or ""."""
    filled = [cell for cell in cells if cell]
    if width < 2 or not filled or filled[0] in labels:
        return ""
    first = filled[0]
    if _TOTAL.fullmatch(first.rstrip(" :.")) and first in cells[:2] and len(cells) <= width:
        return first
    if len(filled) == 1 and number_of(first) is None and (len(cells) < width or _REMARK.match(first)):
        return first
    is_remark = _SOURCE.match(first) or (len(cells) < width and _REMARK.match(first))
    return ", ".join(filled) if is_remark else ""
