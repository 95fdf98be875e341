"""Where a table begins in a text: lines above it, the names of its columns or none, a line of units."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from gdjax.data.readers.cells import INFINITE, MISSING, number_of

TITLE = 20  # records that may stand above a table
SEEN = 200  # cells of a column that are looked at
_UNIT = re.compile(r"[(\[{].*[)\]}]|[^\W\d_]{1,3}|.*[%°µμΩ²³/^·*].*|-|")
_SURE_UNIT = re.compile(
    r"[(\[{].*[)\]}]|.*[%°µμΩ²³/^].*|[kcmµn]?[mgsLl]|[kM]?[KVAWJN]|k?Pa|[kMG]?Hz|h|min|eV|USD|EUR|years?|days?|hours?"
)
_UNNAMED = re.compile(r"|Unnamed: \d+(_level_\d+)?")


class Start(NamedTuple):
    """Where a table begins.

    Args:
        first: the first record of data, counted from 0.
        names: of the columns, distinct.
        unnamed: columns that have no name in the file.
        width: the number of cells of a record.
        header: the record with names, counted from 0; None if there is none.
    """

    first: int
    names: tuple[str, ...]
    unnamed: tuple[int, ...]
    width: int
    notes: tuple[str, ...]
    header: int | None = None


def start_of(records: Sequence[Sequence[str]], lines: Sequence[int], header: bool | None = None) -> Start:
    """Where the table begins among the records of a sample.

    Args:
        lines: the number of the line of each record.
        header: whether the first record names the columns (default: as it looks).
    """
    width = _width(records)
    top, notes = title_of(records, width), []
    if len(records[top]) != width and not lacks_a_name(records[top], records[top + 1 :], width):
        width = len(records[top])
    if top:
        notes.append(f"what stands above the table in line {lines[0]}, {' '.join(records[0])[:40]!r}, is left out")
    head, rows = records[top], records[top + 1 :]
    if header is None:
        header, doubt = _is_header(_fitted(head, rows, width), [row for row in rows if len(row) == width])
        if header and doubt:
            notes.append(f"line {lines[top]} is taken as names of columns; the option header=False takes it as data")
    if not header:
        notes.append("there is no line with names of columns")
        return Start(top, tuple(f"column_{j + 1}" for j in range(width)), (), width, tuple(notes))
    first = top + 1
    names = _fitted(head, rows, width)
    if first < len(records) and _are_units([row for row in rows if len(row) == width]):
        units = ", ".join(cell for cell in records[first] if cell)
        notes.append(f"line {lines[first]} holds units and is left out: {units}")
        first += 1
    unnamed = tuple(j for j, name in enumerate(names) if _UNNAMED.fullmatch(name))
    found, renamed = distinct([f"column_{j + 1}" if j in unnamed else name for j, name in enumerate(names)])
    return Start(first, found, unnamed, width, (*notes, *renamed), top)


def _width(records: Sequence[Sequence[str]]) -> int:
    """The usual number of cells of a record, the larger of equals."""
    counts = Counter(map(len, records[1:] or records))
    return max(counts, key=lambda width: (counts[width], width))


def lacks_a_name(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> bool:
    """Whether the first record has one cell less than the rows, which begin with names or numbers of rows, as R writes
    them, or end with an empty cell; or ends with empty cells itself."""
    if len(head) > width:
        return not any(head[width:])
    fitting = [row for row in rows if len(row) == width]
    if len(head) != width - 1 or not any(head):
        return False
    first = [row[0] for row in fitting]
    counts = all(cell.isdecimal() for cell in first) and _count(list(map(int, first)))
    named = not any(map(_is_number, first))
    return not any(row[-1] for row in fitting) or (len(set(first)) == len(first) and (counts or named))


def _count(numbers: Sequence[int]) -> bool:
    """Whether they number rows: one after the other, or at least ten that increase."""
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    return bool(steps) and (set(steps) == {1} or (len(steps) >= 9 and min(steps) > 0))


def title_of(records: Sequence[Sequence[str]], width: int) -> int:
    """The number of records above the table: single cells, or such that are shorter than the table and above names."""
    top = 0
    while top + 1 < len(records) and top < TITLE and _is_above(records, top, width):
        top += 1
    rest = records[top:]
    if (
        not top
        or len(records[top]) != width
        or len(rest) < max(2, top)
        or sum(len(record) == width for record in rest) < 0.9 * len(rest)
    ):
        return 0
    if not any(map(_is_number, records[top])):
        return top
    words = all(len(record) == 1 and re.search(r"\W", record[0]) for record in records[:top])
    return top if width > 2 and words else 0


def _is_above(records: Sequence[Sequence[str]], top: int, width: int) -> bool:
    record, below = records[top], records[top + 1 : top + 4]
    if len(record) < width:
        return width > 1
    return len(record) == width > 1 and not any(record[1:]) and not all(not any(each[1:]) for each in below)


def _fitted(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """The names with an empty one where the first column has none, or where all rows end with an empty cell."""
    if len(head) == width - 1:
        ends_empty = not any(row[-1] for row in rows if len(row) == width)
        return [*head, ""] if ends_empty else ["", *head]
    return [*head[:width], *[""] * (width - len(head))]


def distinct(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names with a number behind each that stood before, and what was renamed."""
    found: list[str] = []
    for name in names:
        number, free = 2, name
        while free in found or (free != name and free in names):
            free, number = f"{name}_{number}", number + 1
        found.append(free)
    changed = [(old, new) for old, new in zip(names, found, strict=True) if old != new]
    return tuple(found), tuple(f"two columns are named {old!r}: the later one is {new!r}" for old, new in changed)


# Names or data.


def _is_header(head: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[bool, bool]:
    """(whether the first record names the columns, whether that is in doubt)."""
    rows = [row for row in rows if list(row) != list(head)]
    seen = rows[len(rows) > 2 : SEEN]  # the first may hold units
    columns = [[row[j] for row in seen if row[j] not in MISSING] for j in range(len(head))]
    votes = [_vote(cell, below) for cell, below in zip(head, columns, strict=True)]
    names, data = sum(vote > 0 for vote in votes), sum(vote < 0 for vote in votes)
    if _are_labels(head, columns):
        return True, True
    if names or data:
        return names > data, bool(names and data)
    return len(set(head)) == len(head) and not any(number_of(cell) for cell in head), True


def _vote(cell: str, below: Sequence[str]) -> int:
    """1 for a name, -1 for data, 0 for what may be either: a word above numbers, a number above numbers, ..."""
    if not below or not cell:
        return 0
    if _mostly_numbers(below):
        return -1 if _is_number(cell) or cell in MISSING else 1
    shapes = {_shape(each) for each in below}
    if len(shapes) == 1 and "9" in shapes.copy().pop():
        return -1 if _shape(cell) in shapes else 1
    if cell in below:
        return -1
    return 1 if len(set(below)) <= len(below) / 2 else 0


def _mostly_numbers(cells: Sequence[str]) -> bool:
    return sum(map(_is_number, cells)) > 0.8 * len(cells)


def _is_number(cell: str) -> bool:
    return cell in INFINITE or number_of(cell) is not None


def _shape(cell: str) -> str:
    """2020-01-31 -> 9-9-9, AB12 -> a9."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", cell))


def _are_labels(head: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Whether the numbers of the first record are names: years, or evenly spaced ones, unlike what stands below."""
    head = [cell.removesuffix(".0") for cell in head]
    chosen = [j for j, cell in enumerate(head) if cell.isdecimal() and _mostly_numbers(columns[j] or ["x"])]
    rest = [cell for j, cell in enumerate(head) if j not in chosen]
    if not chosen or any(_is_number(cell) for cell in rest):
        return False
    values = [int(head[j]) for j in chosen]
    steps = {b - a for a, b in itertools.pairwise(values)}
    below = [[columns[j][i] for j in chosen] for i in range(min(map(len, (columns[j] for j in chosen))))]
    if all(_is_year(head[j]) for j in chosen) and len(set(values)) == len(values):
        return not any(all(map(_is_year, cells)) for cells in below) and (len(values) > 1 or len(rest) == 1)
    return len(values) > 2 and len(steps) == 1 and 0 not in steps and not any(map(_evenly_spaced, below))


def _is_year(cell: str) -> bool:
    return cell.isdecimal() and 1800 <= int(cell) <= 2100


def _evenly_spaced(cells: Sequence[str]) -> bool:
    if not all(cell.isdecimal() for cell in cells):
        return False
    values = [int(cell) for cell in cells]
    return len({b - a for a, b in itertools.pairwise(values)}) == 1


def _are_units(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has words above all columns of numbers: units or types."""
    if len(rows) < 3:
        return False
    columns = [[row[j] for row in rows[1:SEEN] if row[j] not in MISSING] for j in range(len(rows[0]))]
    numeric = [j for j, below in enumerate(columns) if below and _mostly_numbers(below)]
    over = [rows[0][j] for j in numeric]
    levels = any(cell and cell in below for cell, below in zip(rows[0], columns, strict=True))
    if levels or not any(over) or any(_is_number(cell) or cell in MISSING - {"", "-"} for cell in over):
        return False
    if len(numeric) > 1:
        return all(over) or sum(_UNIT.fullmatch(cell) is not None for cell in over) > 0.5 * len(over)
    return _SURE_UNIT.fullmatch(over[0]) is not None
