"""A table from a text of any delimiter: decided on a sample of its rows, then read in one typed pass.

The sample decides the encoding, the delimiter, the header and which columns hold plain numbers; these are parsed by pandas,
100 MB at a few seconds, all others are taken as text and decided by all of their cells. Where a later row contradicts the
sample (a first currency sign in row 90,000, codes with leading zeros, a decimal comma) the file is read once more.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdjax.data.errors import DataError, in_one_line
from gdjax.data.readers.cells import EXACT, INFINITE, MISSING, PLAIN
from gdjax.data.readers.columns import Column, Levels, Options, decide, decided
from gdjax.data.readers.contents import DAMAGE, damaged
from gdjax.data.readers.delimiters import named
from gdjax.data.readers.footers import LAST, without_footer
from gdjax.data.readers.headers import Start
from gdjax.data.readers.layouts import SAMPLE, Layout
from gdjax.data.readers.records import Dialect, Record

if TYPE_CHECKING:
    import pandas

PART = 50_000  # rows of a part that is parsed at once
LOOKED_AT = 100  # rows of a part in which words for missing values are sought


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which columns are taken as text, the decimal mark of the others, and what there is to say about these."""

    options: Options
    held: frozenset[int]
    notes: tuple[str, ...] = ()


@dataclasses.dataclass
class Draft:
    """What one pass has found."""

    parts: list[Any]
    lines: list[np.ndarray]
    problems: list[tuple[int, str]]
    notes: list[str]
    doubtful: set[int] = dataclasses.field(default_factory=set)
    words: set[str] = dataclasses.field(default_factory=set)
    empty: int = 0
    repeated: int = 0


class Found(NamedTuple):
    """The columns of a table by name, the number of the line of each row or None, and what was recognized."""

    columns: dict[str, Column]
    lines: np.ndarray | None
    notes: tuple[str, ...]


class OnDisk:
    """The parts of a column of numbers in a file, of which only the last is in memory."""

    def __init__(self, path: Path):
        self._path, self._last = path, np.zeros(0)
        path.write_bytes(b"")

    def append(self, part: np.ndarray) -> None:
        """Write a part to the end of the file."""
        self._last = part
        if part.dtype.kind in "if":
            with self._path.open("ab") as file:
                file.write(part.astype(np.float64).tobytes())

    def __getitem__(self, index: int) -> np.ndarray:
        return self._last

    def whole(self) -> np.ndarray:
        """All parts, mapped into memory."""
        return np.memmap(self._path, np.float64, "r") if self._path.stat().st_size else np.zeros(0)


def read_text(layout: Layout, options: Options, texts: frozenset[str], folder: Path | None = None) -> Found:
    """The columns of a text.

    Args:
        texts: columns whose text is kept beside their numbers.
        folder: where the numbers are kept as files, mapped into memory (default: in memory).

    Raises: DataError with all problems of the file.
    """
    try:
        plan = _plan(layout, options, texts)
        while True:
            draft = _pass(layout, plan, folder)
            lines = np.concatenate(draft.lines) if draft.lines else np.zeros(0, np.int64)
            if not len(lines) and not draft.problems:
                raise DataError(f"{layout.source.name}: empty: there is a header and no row below it")
            columns = {} if draft.doubtful else _decided(layout, plan, draft, lines)
            learnt = _learnt(plan, draft, columns)
            if learnt == plan:
                return _finished(layout, plan, draft, columns, lines)
            plan = learnt
    except DAMAGE as error:
        if isinstance(error, DataError):
            raise
        raise damaged(layout.source.name, error) from None


# What the sample says.


def _plan(layout: Layout, options: Options, texts: frozenset[str]) -> Plan:
    """What the sample says of each column."""
    start = layout.start
    records = itertools.islice(without_footer(layout.records(), layout.dialect, start.width, layout.labels, []), SAMPLE)
    rows = [layout.dialect.cells(record.text) for record in records]
    rows = [row for row in rows if len(row) == start.width and row != layout.dialect.cells(layout.header or "\n")]
    options = dataclasses.replace(options, thousands=layout.dialect.sep != ",")
    if not options.given and layout.dialect.sep == ";":
        options = dataclasses.replace(options, comma=True)
    levels = [Levels(name, _series([row[j] for row in rows]), options) for j, name in enumerate(start.names)]
    options = _proven(options, map(decided, levels))
    levels = [each.under(options) for each in levels]
    found = list(map(decided, levels))  # what some columns prove says how the unclear ones are read
    held = {j for j, each in enumerate(levels) if each.name in texts or not _is_plain(each, found[j])}
    notes = [note for j, column in enumerate(found) if j not in held for note in column.notes if "is read as" in note]
    return Plan(options, frozenset(held), tuple(notes))


def _series(cells: Sequence[str]) -> pandas.Series:
    import pandas

    return pandas.Series(cells, dtype=str)


def _proven(options: Options, columns: Iterable[Column]) -> Options:
    """The options with the decimal mark that most columns prove."""
    if options.given:
        return options
    proofs = [column.proof for column in columns if column.proof]
    if not proofs:
        return options
    points = proofs.count(".")
    return dataclasses.replace(options, decimal="." if 2 * points >= len(proofs) else ",", proven=True)


def _is_plain(levels: Levels, column: Column) -> bool:
    """Whether pandas reads the column as it should be read."""
    options = levels.options
    if levels.name in options.as_text or column.values.dtype.kind not in "if":
        return False
    if column.decimal not in ("", options.decimal):
        return False
    cells = [text for text, gone in zip(levels.texts, levels.missing, strict=True) if not gone]
    return all(PLAIN[options.decimal].fullmatch(cell) or cell in INFINITE - {"∞"} for cell in cells)


# A pass over the file.


def _pass(layout: Layout, plan: Plan, folder: Path | None) -> Draft:
    parts = [[] if folder is None or j in plan.held else OnDisk(folder / f"{j}") for j in range(layout.start.width)]
    draft, records = Draft(parts, [], [], []), layout.records()
    while lines := records.take(PART + LAST):
        ended = len(lines) < PART + LAST
        regular = not ended and layout.is_regular(lines[:PART])
        records.give_back(lines[PART:] if regular else lines)
        if regular:
            _parse(lines[:PART], np.arange(records.line - PART, records.line) + 1, layout, plan, draft)
            continue
        last = (
            without_footer(records, layout.dialect, layout.start.width, layout.labels, draft.notes)
            if ended
            else records
        )
        for part in _parts(_fitting(last, layout, plan.options.lenient, draft), None if ended else PART):
            lines = [each.text if each.text[-1:] == "\n" else each.text + "\n" for each in part]
            _parse(lines, np.fromiter((each.line for each in part), np.int64, len(part)), layout, plan, draft)
    return draft


def _parts(records: Iterator[Record], most: int | None) -> Iterator[list[Record]]:
    """The next records as a part; all of them, in several parts, where no number is given."""
    while part := list(itertools.islice(records, most or PART)):
        yield part
        if most is not None:
            return


def _fitting(records: Iterable[Record], layout: Layout, lenient: bool, draft: Draft) -> Iterator[Record]:
    """The records that have the right number of cells; what is wrong with the others is noted in the draft."""
    width, mark = layout.start.width, layout.dialect.mark
    blank = f"{mark} \t\n\"'"
    for record in records:
        if not record.text.strip(blank) and width > 1:
            draft.empty += 1
        elif record.text == layout.header:
            draft.repeated += 1
        elif mark == "|" and not record.text.strip("|-+:= \t\n"):
            continue  # the ruler of a table in Markdown
        elif record.width == width:
            yield record
        elif (cut := _cut(record, width, mark)) is not None:
            yield cut
        elif lenient:
            draft.notes.append(f"{_misfit(record, width, layout.dialect)}; its cells are taken as missing")
            yield Record(record.line, mark * (width - 1) + "\n", width)
        else:
            draft.problems.append((record.line, _misfit(record, width, layout.dialect)))


def _cut(record: Record, width: int, mark: str) -> Record | None:
    """The record without the empty cells at its end that are too many."""
    text = record.text.rstrip("\n")
    for _ in range(record.width - width):
        bare = text.rstrip(" ")
        if not bare.endswith(mark):
            return None
        text = bare[:-1]
    return Record(record.line, text + "\n", width) if record.width > width else None


def _misfit(record: Record, width: int, dialect: Dialect) -> str:
    if not record.width:
        return f"line {record.line}: a quote is opened in a cell and not closed"
    hint = f" (a cell with {named(dialect.sep)} in it must stand in quotes)" if record.width > width > 1 else ""
    return f"line {record.line}: {width} cells are needed, got {record.width}{hint}"


def _parse(part: Sequence[str], lines: np.ndarray, layout: Layout, plan: Plan, draft: Draft) -> None:
    text = "".join(part).encode()
    draft.lines.append(lines)
    frame = _parsed(text, layout, plan)
    plain = [j for j in range(layout.start.width) if j not in plan.held]
    for j in range(layout.start.width):
        column = frame[j]
        draft.parts[j].append(column.reset_index(drop=True) if j in plan.held else column.to_numpy().copy())
    _seek_words(part, layout, frame, plain, plan, draft)
    numbers = [j for j in plain if draft.parts[j][-1].dtype.kind in "if"]
    draft.doubtful.update(set(plain) - set(numbers))
    suspects = [j for j in numbers if _is_large(draft.parts[j][-1])]
    if _has_leading_zeros(text, layout.dialect.mark):
        suspects += [j for j in numbers if _is_whole(draft.parts[j][-1])]
    if suspects:
        cells = _parsed(text, layout, dataclasses.replace(plan, held=frozenset(suspects)), suspects)
        found = [j for j in suspects if cells[j].str.fullmatch(r"\s*(0\d+|[-+]?\d{16,})\s*").any()]
        draft.doubtful.update(found)


def _parsed(text: bytes, layout: Layout, plan: Plan, only: Any = None) -> pandas.DataFrame:
    import pandas

    dialect, width = layout.dialect, layout.start.width
    words = sorted(MISSING | plan.options.missing)
    read: Any = pandas.read_csv
    is_exact = tuple(map(int, pandas.__version__.split(".")[:2])) >= (3, 1)
    precision: dict[str, Any] = {} if is_exact else {"float_precision": "round_trip"}
    return read(
        io.BytesIO(text),
        header=None,
        names=list(range(width)),
        usecols=only,
        index_col=False,
        sep=dialect.mark,
        quotechar=dialect.quote,
        escapechar=dialect.escape,
        skipinitialspace=True,
        skip_blank_lines=False,
        decimal=plan.options.decimal,
        dtype=dict.fromkeys(plan.held, str),
        na_values={j: words for j in range(width) if j not in plan.held},
        keep_default_na=False,
        low_memory=False,
        encoding="utf-8",
        **precision,
    )


def _seek_words(part, layout, frame, plain, plan, draft) -> None:
    """Note the words for missing values in the first rows that have some."""
    gone = np.zeros(len(part), bool)
    for j in plain:
        if frame[j].dtype.kind == "f":
            gone |= np.isnan(frame[j].to_numpy())
    known = MISSING | plan.options.missing
    for i in np.flatnonzero(gone)[:LOOKED_AT]:
        cells = layout.dialect.cells(part[i])
        draft.words.update(cells[j] for j in plain if cells[j] and cells[j] in known)


def _is_large(numbers: np.ndarray) -> bool:
    finite = numbers[np.isfinite(numbers)]
    return bool(finite.size) and max(finite.max(), -finite.min()) > EXACT


def _is_whole(numbers: np.ndarray) -> bool:
    if numbers.dtype.kind == "i":
        return True
    finite = numbers[np.isfinite(numbers)]
    return bool(np.all(finite[:100] == np.round(finite[:100]))) and bool(np.all(finite == np.round(finite)))


def _has_leading_zeros(text: bytes, mark: str) -> bool:
    """Whether some cell begins with 0 and another digit."""
    codes = np.frombuffer(text, np.uint8)
    zero = codes[1:-1] == ord("0")
    zero &= (codes[2:] >= ord("0")) & (codes[2:] <= ord("9"))
    before = codes[:-2][zero]
    return bool(np.isin(before, np.frombuffer(f"{mark}\n\" '".encode(), np.uint8)).any()) or text[:1] == b"0"


# What the pass has shown.


def _decided(layout: Layout, plan: Plan, draft: Draft, lines: np.ndarray) -> dict[str, Column]:
    import pandas

    columns = {}
    for j, name in enumerate(layout.start.names):
        parts, draft.parts[j] = draft.parts[j], []
        if j in plan.held:
            cells: Any = pandas.concat(parts, ignore_index=True) if parts else _series([])
            columns[name] = decide(name, cells, plan.options, lines)
        else:
            columns[name] = Column(
                parts.whole() if isinstance(parts, OnDisk) else np.concatenate(parts or [np.zeros(0)])
            )
    return columns


def _learnt(plan: Plan, draft: Draft, columns: dict[str, Column]) -> Plan:
    if draft.doubtful:
        return dataclasses.replace(plan, held=plan.held | draft.doubtful)
    if plan.options.proven:
        return plan
    options = _proven(plan.options, columns.values())
    return plan if options == plan.options else dataclasses.replace(plan, options=options, notes=())


def _finished(layout: Layout, plan: Plan, draft: Draft, columns: dict[str, Column], lines: np.ndarray) -> Found:
    problems = draft.problems + [problem for column in columns.values() for problem in column.problems]
    if problems:
        raise in_one_line(layout.source.name, [text for _, text in sorted(problems, key=lambda each: each[0])])
    notes = [*layout.notes, *draft.notes, *plan.notes]
    if plan.options.decimal == "," and not plan.options.given:
        notes.append("the decimal mark is a comma")
    if draft.empty:
        notes.append(f"{draft.empty} rows of empty cells are left out")
    if draft.repeated:
        notes.append(f"the line with names of columns stands again {draft.repeated} times, and is left out there")
    if draft.words:
        notes.append(f"missing values are written {' and '.join(map(repr, sorted(draft.words)[:5]))}")
    return Found(columns, lines, without_superfluous(columns, layout.start, notes))


def without_superfluous(columns: dict[str, Column], start: Start, notes: list[str]) -> tuple[str, ...]:
    """Delete the columns without a name that only number the rows or are empty; all notes, each once."""
    for j in start.unnamed:
        name = start.names[j]
        reason = _superfluous(columns[name].values, j)
        if reason:
            del columns[name]
            notes.append(reason)
        else:
            notes.append(f"column {j + 1} has no name and is called {name!r}")
    notes += [note for column in columns.values() for note in column.notes]
    return tuple(dict.fromkeys(notes))


def _superfluous(values: Any, j: int) -> str:
    """Why a column without a name is left out, or ""."""
    if values.dtype.kind == "f" and np.isnan(values).all():
        return f"column {j + 1} has neither a name nor values and is left out"
    if j == 0 and values.dtype.kind == "i" and len(np.unique(values)) == len(values):
        return "the first column, which has no name, numbers the rows and is left out"
    return ""
