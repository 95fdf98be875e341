"""The records of a text: lines, or several of them where a quoted cell runs over an end of line."""

from __future__ import annotations

import csv
import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gdjax.data.readers.cells import WHITE

_WIDE = re.compile(r"\s{2,}|\t")
_TOKEN = re.compile(r'"(?:[^"]|"")*"(?=\s|$)|\S+')


class Dialect(NamedTuple):
    """How cells stand in a line.

    Args:
        sep: one character, a longer word, " " for any run of blanks, or "  " for one of at least two.
        quote: '"' or "'".
        escape: "\\\\" where it stands before quotes within cells, or None.
        comment: what lines begin with that are not read, or "".
    """

    sep: str = ","
    quote: str = '"'
    escape: str | None = None
    comment: str = ""

    @property
    def mark(self) -> str:
        """The one character between the cells of a record."""
        return "\t" if self.sep in (" ", "  ") else self.sep if len(self.sep) == 1 else "\x1f"

    def cells(self, text: str) -> list[str]:
        """The stripped cells of a record."""
        try:
            cells = next(self._reader([text]), []) or [""]
        except csv.Error:  # a cell of more than 131,072 characters
            cells = text.split(self.mark)
        return [cell.strip(WHITE) for cell in cells]

    def widths(self, lines: Iterable[str]) -> list[int]:
        """The numbers of cells of the records of lines; none for what cannot be cut into cells."""
        try:
            return list(map(len, self._reader(lines)))
        except csv.Error:
            return []

    def _reader(self, lines: Iterable[str]):
        return csv.reader(
            lines, delimiter=self.mark, quotechar=self.quote, escapechar=self.escape, skipinitialspace=True
        )

    def _marked(self, line: str) -> str:
        if self.sep == " ":
            return "\t".join(_TOKEN.findall(line) if self.quote in line else line.split()) + "\n"
        if self.sep == "  ":
            return _WIDE.sub("\t", line.strip()) + "\n"
        return line if len(self.sep) == 1 else line.replace(self.sep, self.mark)


class Record(NamedTuple):
    """A record: the number of its first line, its text with one character between cells, and how many cells it has.

    Its width is 0 where a quote is opened and not closed.
    """

    line: int
    text: str
    width: int


class Records:
    """The records of lines, one after the other; blank lines and comments are skipped.

    Args:
        width: the cells of a record. A record of several lines that has another number of cells is taken to be caused
            by a stray quote: its first line stands alone, and reading goes on with the second. None if it is not known.
    """

    def __init__(self, lines: Iterable[str], dialect: Dialect, first: int = 1, width: int | None = None):
        self._lines, self._dialect, self._number, self._width = iter(lines), dialect, first - 1, width
        self._again: deque[str] = deque()
        self._ended = False

    def __iter__(self) -> Iterator[Record]:
        dialect, mark = self._dialect, self._dialect.mark
        for line in iter(self._next, None):
            number = self._number
            if line.isspace() or (dialect.comment and line.startswith(dialect.comment)):
                continue
            text = dialect._marked(line)
            if dialect.quote in text:
                yield self._quoted(number, text)
            else:
                yield Record(number, text, text.count(mark) + 1)

    @property
    def line(self) -> int:
        """The number of the last line that was taken."""
        return self._number

    def take(self, count: int) -> list[str]:
        """The next lines as they stand; fewer at the end."""
        lines = [self._again.popleft() for _ in range(min(count, len(self._again)))]
        lines += itertools.islice(self._lines, count - len(lines))
        self._number += len(lines)
        return lines

    def give_back(self, lines: Sequence[str]) -> None:
        """Put lines back that were taken."""
        self._again.extendleft(reversed(lines))
        self._number -= len(lines)

    def _next(self) -> str | None:
        line = self._again.popleft() if self._again else next(self._lines, None)
        self._number += line is not None
        return line

    def _quoted(self, number: int, text: str) -> Record:
        width = _plain_width(text, self._dialect)
        if width:
            return Record(number, text, width)
        taken: list[str] = []

        def lines() -> Iterator[str]:
            yield text
            for line in iter(self._next, None):
                taken.append(line)
                yield line
            self._ended = True

        self._ended, width = False, 0
        try:
            width = len(next(self._dialect._reader(lines())))
        except csv.Error:
            self._ended = True
        if self._ended or (taken and self._width not in (None, width)):
            self.give_back(taken)
            return Record(number, text, 0)
        return Record(number, text + "".join(taken), width)


def _plain_width(text: str, dialect: Dialect) -> int:
    """The cells of a line whose quotes all begin and end a cell, or are doubled within one; 0 for any other line.

    This is a tenth of the time of a reader of records.
    """
    mark, parts = dialect.mark, text.split(dialect.quote)
    if dialect.escape or len(parts) % 2 == 0:
        return 0
    outside = parts[::2]
    begins = all(not each or each[-1] == mark for each in outside[:-1])
    ends = all(not each or each[0] == mark or each.isspace() for each in outside[1:])
    return sum(each.count(mark) for each in outside) + 1 if begins and ends else 0
