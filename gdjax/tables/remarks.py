"""What is suspicious in a table: each remark is a sentence that says what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from gdjax.data.names import TIMING, says
from gdjax.tables.cells import cells_of, is_text, numbers, texts
from gdjax.tables.columns import Column, are_pair
from gdjax.tables.dates import has_day, is_ambiguous, read_dates
from gdjax.text import listing

if TYPE_CHECKING:
    from gdjax.data.table import Table
    from gdjax.tables.duplicates import Copies
    from gdjax.tables.target import Target

HUGE = 1000  # times the next largest cell
CODES = frozenset(sign * int(digit * times) for digit in "9" for times in range(2, 7) for sign in (1, -1)) | {-9, -1}
RARE = 3  # rows of a class that are too few for three parts
MOSTLY = 0.5


def suspicions(table: Table, columns: tuple[Column, ...], target: Target, copies: Copies) -> tuple[str, ...]:
    """All remarks on a table: on its rows, its target, and each of its features."""
    said = [*_of_rows(copies), *_of_target(table, target)]
    for column in columns:
        said += {"number": _of_numbers, "date": _of_dates}.get(column.kind, _of_levels)(table, column)
        if column.missing > MOSTLY * len(table.frame):
            said.append(f"{column.name!r} is missing in {column.missing:,} of {len(table.frame):,} rows")
    return tuple(remark for remark in said if not _is_noted(remark, table))


def _is_noted(remark: str, table: Table) -> bool:
    """Whether the reader of the file has said it already, of the same column."""
    of_reader = {" far from all others": "stands in", " spelling alone ": "differ in case only"}
    column = re.search(r"'[^']*'", remark)
    return column is not None and any(
        ours in remark and any(theirs in note and column[0] in note for note in table.notes)
        for ours, theirs in of_reader.items()
    )


def _of_rows(copies: Copies) -> Iterator[str]:
    rows, extra = len(copies.group), copies.extra()
    if extra:
        said = "is a copy of another" if extra == 1 else "are copies of others"
        yield f"{extra:,} of {rows:,} rows {said}: all copies of a row stand on one side of the split"
    if copies.coincidences:
        yield (
            f"{copies.coincidences:,} of {rows:,} rows are equal to others, but the targets of rows with these features "
            "differ: they are taken as observations of their own, not as copies"
        )


def _of_target(table: Table, target: Target) -> Iterator[str]:
    name, lost = target.column.name, np.flatnonzero(~target.present())
    if len(lost):
        yield f"the target {name!r} is missing in {len(lost):,} of {len(target.y):,} rows, which are left out"
    series = cells_of(table.frame, name)
    if target.classes:
        is_pair = are_pair(target.classes)
        levels, what = (target.column.levels, "read as one") if is_pair else (target.classes, "kept apart")
        yield from _spellings(f"classes of {name!r}", levels, what)
        counts = np.bincount(target.y[target.y >= 0], minlength=len(target.classes))
        rare = [f"{each!r}" for each, count in zip(target.classes, counts, strict=True) if count < RARE]
        if rare:
            yield f"classes of fewer than {RARE} rows stand in one or two parts only, by the seed: {listing(rare)}"
        return
    yield from _spoiled(table, name, "a number", numbers(series)[1])
    yield from _outliers(table, name, numbers(series)[0])
    yield from _missing_codes(name, numbers(series)[0])


def _of_numbers(table: Table, column: Column) -> Iterator[str]:
    values, spoiled = numbers(cells_of(table.frame, column.name))
    yield from _spoiled(table, column.name, "a number", spoiled)
    yield from _outliers(table, column.name, values)
    yield from _missing_codes(column.name, values)
    if says(column.name, TIMING):
        yield from _order(column.name, values[~np.isnan(values)])


def _spoiled(table: Table, name: str, wanted: str, spoiled: np.ndarray) -> Iterator[str]:
    places = np.flatnonzero(spoiled)
    if len(places):
        cell = texts(cells_of(table.frame, name).iloc[places[:1]]).iloc[0]
        yield (
            f"{table.place(places[0], name)}: {wanted} is needed, got {cell!r} ({len(places):,} such cells); these rows "
            f"are left out, or read as missing with --missing {cell!r}"
        )


def _outliers(table: Table, name: str, values: np.ndarray) -> Iterator[str]:
    """A remark if a few cells, at most 1 %, are HUGE times the next largest in absolute value."""
    sizes = np.where(np.isnan(values), 0, abs(values))
    count = min(len(sizes), max(2, len(sizes) // 100 + 1))
    if np.count_nonzero(sizes > sizes.max(initial=0) / HUGE) > count:
        return
    largest = np.argpartition(sizes, len(sizes) - count)[-count:]
    largest = largest[np.argsort(-sizes[largest], kind="stable")]
    ordered = sizes[largest]
    gap = np.flatnonzero((ordered[1:] > 0) & (ordered[:-1] / HUGE >= ordered[1:]))
    if len(gap):
        cells = largest[: gap[0] + 1]
        times = float(ordered[gap[0]]) / float(ordered[gap[0] + 1])
        many = f"{times:,.0f}" if times < 1e12 else f"{times:.0e}"
        rest = f" and {len(cells) - 1} more cells" if len(cells) > 1 else ""
        yield f"{table.place(cells[0], name)}: {values[cells[0]]:.6g}{rest}: {many} times the next largest"


def _missing_codes(name: str, values: np.ndarray) -> Iterator[str]:
    """A remark if an extreme such as -999 or 9999 is farther from the others than these are from each other."""
    present = values[~np.isnan(values)]
    for code in {float(present.min()), float(present.max())} & {float(each) for each in CODES} if len(present) else ():
        others = present[present != code]
        if len(others) > 1 and abs(code) >= 9 and _is_apart(code, others):
            yield (
                f"{name!r}: {code:.0f} stands in {len(present) - len(others):,} cells, far from all others, and may mean "
                f"missing: --missing={code:.0f}"
            )


def _is_apart(code: float, others: np.ndarray) -> bool:
    low, high = others.min(), others.max()
    return max(low - code, code - high) > high - low > 0


def _of_dates(table: Table, column: Column) -> Iterator[str]:
    series = cells_of(table.frame, column.name)
    times, spoiled = read_dates(series, column.format)
    yield from _spoiled(table, column.name, "a date", spoiled)
    if is_ambiguous(series, column.format):
        yield f"{column.name!r}: day and month could be exchanged; it is read as {column.format}"
    if has_day(column.format):
        yield from _order(column.name, times[~np.isnat(times)].astype(np.int64))


def _order(name: str, times: np.ndarray) -> Iterator[str]:
    """A remark if the rows stand in the order of time, or in the reverse order."""
    steps = np.diff(times)
    if np.any(steps != 0) and (np.all(steps >= 0) or np.all(steps <= 0)):
        yield (
            f"the rows stand in the order of {name!r}: if later rows are to be predicted from earlier ones, "
            f"--time {name} judges by later rows"
        )


def _of_levels(table: Table, column: Column) -> Iterator[str]:
    if is_text(cells_of(table.frame, column.name)):
        what = "read as one" if column.kind == "yes/no" else "kept apart"
        yield from _spellings(f"levels of {column.name!r}", column.levels, what)


def _spellings(what: str, levels: tuple[str, ...], treated: str) -> Iterator[str]:
    """A remark if levels differ by case or blanks alone."""
    spelled: dict[str, list[str]] = {}
    for level in levels:
        spelled.setdefault(" ".join(level.casefold().split()), []).append(level)
    for same in spelled.values():
        if len(same) > 1:
            yield f"{what} that differ in their spelling alone are {treated}: {listing([repr(each) for each in same])}"
