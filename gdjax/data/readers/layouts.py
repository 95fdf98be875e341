"""How a text is cut into records of cells, decided on a sample of its lines."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Callable, Iterator, Sequence

from gdjax.data.errors import DataError
from gdjax.data.readers.contents import Contents
from gdjax.data.readers.delimiters import NONE, dialect_of, hinted, named
from gdjax.data.readers.encodings import encoding_of, undecodable
from gdjax.data.readers.headers import Start, start_of
from gdjax.data.readers.records import Dialect, Record, Records

SAMPLE = 2_000  # rows


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a text is cut into records of cells, and where its data begin."""

    source: Contents
    encoding: str
    dialect: Dialect
    start: Start
    skipped: int  # lines above the first record
    labels: frozenset[str]  # first cells of the sample
    notes: tuple[str, ...]
    header: str = ""  # the text of the record with names, which may be repeated
    rewritten: Callable[[str], str] | None = None  # a line before it is cut

    def lines(self) -> Iterator[str]:
        """The lines from the first record on."""
        lines = lines_of(self.source, self.encoding, self.skipped)
        return lines if self.rewritten is None else map(self.rewritten, lines)

    def records(self) -> Records:
        """The records of data."""
        records = Records(self.lines(), self.dialect, self.skipped + 1, self.start.width)
        for _ in zip(range(self.start.first), records, strict=False):
            pass
        return records

    def is_regular(self, lines: Sequence[str]) -> bool:
        """Whether each of the lines is a record as it stands, none of them blank, empty, a comment or the names again."""
        mark, width = self.dialect.mark, self.start.width
        if width == 1 or len(self.dialect.sep) > 1 or self.dialect.sep == " " or self.header in lines:
            return False
        text = "".join(lines)
        if mark * (width - 1) + "\n" in text or (self.dialect.comment and self.dialect.comment in text):
            return False
        if self.dialect.quote not in text:
            return set(map(str.count, lines, itertools.repeat(mark))) == {width - 1}
        return self.dialect.widths(lines) == [width] * len(lines)


def lines_of(source: Contents, encoding: str, skipped: int = 0) -> Iterator[str]:
    """The lines of a text after the first ones, each with its end."""
    with io.TextIOWrapper(source.open(), encoding) as stream:  # pyright: ignore[reportArgumentType]
        try:
            yield from itertools.islice(stream, skipped, None)
        except UnicodeDecodeError:
            raise undecodable(source, encoding) from None


def layout_of(source: Contents, sep: str | None, header: bool | None, encoding: str | None) -> Layout:
    notes = list(source.notes)
    if encoding is None:
        encoding, found = encoding_of(source)
        notes += found
    sample = list(itertools.islice(lines_of(source, encoding), SAMPLE + 100))
    skipped = 0
    hint = hinted(sample[0]) if sample and sep is None else None
    if hint is not None:
        sep, skipped, sample = hint, 1, sample[1:]
        notes.append("the first line names the delimiter")
    dialect = dialect_of(sample, sep)
    if dialect.comment:
        dialect, more, sample = _below_comments(dialect, sample, sep)
        skipped += more
    records = list(itertools.islice(Records(sample, dialect, skipped + 1), SAMPLE + 50))
    if not records:
        raise DataError(f"{source.name}: empty")
    cells = [dialect.cells(record.text) for record in records]
    if dialect.comment and cells[0]:
        cells[0][0] = cells[0][0].lstrip("# ")
    start = start_of(cells, [record.line for record in records], header)
    if dialect.sep not in (",", NONE):
        notes.append(f"the delimiter is {named(dialect.sep)}")
    if dialect.quote != '"':
        notes.append("cells are quoted by '")
    labels = frozenset(row[0] for row in cells[start.first : -4] if row)
    above = "" if start.header is None else records[start.header].text
    return Layout(source, encoding, dialect, start, skipped, labels, (*notes, *start.notes), above)


def _below_comments(dialect: Dialect, sample: Sequence[str], sep: str | None) -> tuple[Dialect, int, Sequence[str]]:
    """The dialect, the number of lines above, and those of a sample whose last comment may name the columns."""
    top = next((i for i, line in enumerate(sample) if not line.startswith("#")), len(sample))
    found = dialect_of(sample[top:], sep)
    names = found.cells(next(iter(Records([sample[top - 1].lstrip("# ")], found)), Record(0, "", 0)).text)
    width = len(found.cells(next(iter(Records(sample[top:], found)), Record(0, "", 0)).text))
    if len(names) == width > 1:
        return found, top - 1, [sample[top - 1].lstrip("# "), *sample[top:]]
    return found._replace(comment="#"), top, sample[top:]
