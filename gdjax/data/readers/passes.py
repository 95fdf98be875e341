"""One pass over a text: its records are parsed part by part, plain numbers by pandas, all else as text."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gdjax.data.readers.cells import EXACT, MISSING
from gdjax.data.readers.columns import Options
from gdjax.data.readers.delimiters import named
from gdjax.data.readers.footers import LAST, without_footer
from gdjax.data.readers.layouts import Layout
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


def pass_over(layout: Layout, plan: Plan, folder: Path | None = None) -> Draft:
    """Read a text once; of what does not fit the plan the draft tells."""
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
        elif record.text == layout.header and width > 1:
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
        return f"line {record.line}: a quote is opened in a cell and not closed within 131,072 characters"
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


def _seek_words(
    part: Sequence[str], layout: Layout, frame: pandas.DataFrame, plain: Sequence[int], plan: Plan, draft: Draft
) -> None:
    """Note the words for missing values in the first rows that have some."""
    gone = np.zeros(len(part), bool)
    for j in plain:
        if frame[j].dtype.kind == "f":
            gone |= np.isnan(frame[j].to_numpy())
    known = MISSING | plan.options.missing
    for i in np.flatnonzero(gone)[:LOOKED_AT]:
        cells = layout.dialect.cells(part[int(i)])
        draft.words.update(cells[j] for j in plain if cells[j] and cells[j] in known)


def _is_large(numbers: np.ndarray) -> bool:
    finite = numbers[np.isfinite(numbers)]
    return bool(finite.size) and max(float(finite.max()), -float(finite.min())) >= EXACT


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
    return bool(np.isin(before, np.frombuffer(f"{mark}\n\" '".encode(), np.uint8)).any()) or (
        text[:1] == b"0" and text[1:2].isdigit()
    )
