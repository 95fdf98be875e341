"""A table from a text of any delimiter: decided on a sample of its rows, then read in one typed pass.

The sample decides the encoding, the delimiter, the header and which columns hold plain numbers; these are parsed by pandas,
100 MB at a few seconds, all others are taken as text and decided by all of their cells. Where a later row contradicts the
sample (a first currency sign in row 90,000, codes with leading zeros, a decimal comma) the file is read once more.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdjax.data.errors import DataError, in_one_line
from gdjax.data.readers.cells import INFINITE, PLAIN
from gdjax.data.readers.columns import Column, Levels, Options, decide, decided
from gdjax.data.readers.footers import without_footer
from gdjax.data.readers.layouts import SAMPLE, Layout
from gdjax.data.readers.passes import Draft, OnDisk, Plan, pass_over
from gdjax.data.readers.unnamed import without_unnamed

if TYPE_CHECKING:
    import pandas


class Found(NamedTuple):
    """The columns of a table by name, the number of the line of each row or None, and what was recognized."""

    columns: dict[str, Column]
    lines: np.ndarray | None
    notes: tuple[str, ...]


def read_text(layout: Layout, options: Options, texts: frozenset[str] | None, folder: Path | None = None) -> Found:
    """The columns of a text.

    Args:
        texts: columns whose text is kept beside their numbers; None for the last one.
        folder: where the numbers are kept as files, mapped into memory (default: in memory).

    Raises: DataError with all problems of the file.
    """
    plan = _plan(layout, options, texts)
    while True:
        draft = pass_over(layout, plan, folder)
        lines = np.concatenate(draft.lines) if draft.lines else np.zeros(0, np.int64)
        if not len(lines) and not draft.problems:
            raise DataError(f"{layout.source.name}: empty: there is a header and no row below it")
        columns = {} if draft.doubtful else _decided(layout, plan, draft, lines)
        learnt = _learnt(plan, draft, columns)
        if learnt == plan:
            return _finished(layout, plan, draft, columns, lines)
        plan = learnt


# What the sample says.


def _plan(layout: Layout, options: Options, texts: frozenset[str] | None) -> Plan:
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
    kept = _last(levels) if texts is None else texts
    held = {j for j, each in enumerate(levels) if each.name in kept or not _is_plain(each, found[j])}
    notes = [note for j, column in enumerate(found) if j not in held for note in column.notes if "is read as" in note]
    return Plan(options, frozenset(held), tuple(notes))


def _last(levels: Sequence[Levels]) -> frozenset[str]:
    """The name of the last column that is not empty, as those of trailing delimiters are."""
    return frozenset([each.name for each in levels if not each.missing.all()][-1:])


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


def _may_be_names(layout: Layout, problems: Sequence[tuple[int, str]], lines: np.ndarray) -> bool:
    """Whether something is wrong in the first row of a text that is taken to have no names."""
    return layout.start.header is None and len(lines) > 0 and min(line for line, _ in problems) == lines[0]


def _finished(layout: Layout, plan: Plan, draft: Draft, columns: dict[str, Column], lines: np.ndarray) -> Found:
    problems = draft.problems + [problem for column in columns.values() for problem in column.problems]
    if problems:
        told = [text for _, text in sorted(problems, key=lambda each: each[0])]
        hint = (
            "; the option header=True takes the first line as names" if _may_be_names(layout, problems, lines) else ""
        )
        raise in_one_line(layout.source.name, told, hint)
    notes = [*layout.notes, *draft.notes, *plan.notes]
    if plan.options.decimal == "," and not plan.options.given:
        notes.append("the decimal mark is a comma")
    if draft.empty:
        notes.append(f"{draft.empty} rows of empty cells are left out")
    if draft.repeated:
        notes.append(f"the line with names of columns stands again {draft.repeated} times, and is left out there")
    if draft.words:
        notes.append(f"missing values are written {' and '.join(map(repr, sorted(draft.words)[:5]))}")
    return Found(columns, lines, without_unnamed(columns, layout.start, notes))
