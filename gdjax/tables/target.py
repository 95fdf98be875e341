"""The target: which column, which task, and its values as labels or numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdjax.data.decision import Decision, decide
from gdjax.tables.cells import cells_of, is_text, numbers, texts
from gdjax.tables.columns import Column, are_pair, by_frequency, recognize

if TYPE_CHECKING:
    import pandas

    from gdjax.data.table import Table

TASKS = ("classification", "regression")


class Target(NamedTuple):
    """The values of the target, one for each row of the table: float64, or int32 labels; NaN or -1 where there is none."""

    column: Column
    decision: Decision
    y: np.ndarray
    classes: tuple[str, ...] = ()

    def present(self) -> np.ndarray:
        """The mask of the rows that have a target."""
        return self.y >= 0 if self.classes else ~np.isnan(self.y)


def read_target(table: Table, name: str, task: str | None) -> Target:
    """The target of a table.

    Raises: ValueError, in one line, if it has fewer than two values, or none that fits the task.
    """
    series, written = cells_of(table.frame, name), _written(table, name)
    if task not in (None, *TASKS):
        raise ValueError(f"`task={task}`: one of {', '.join(TASKS)} is needed")
    distinct = written.dropna().unique()
    if len(distinct) < 2:
        alone = (
            f"has one value, {distinct[0]!r}, in all of its {written.count():,} cells" if len(distinct) else "is empty"
        )
        raise ValueError(f"the target {name!r} {alone}: there is nothing to predict")
    column = recognize(series, "category" if is_text(series) and task == "classification" else None)
    decision = Decision(task, "as asked") if task else _decide(column, series, len(distinct))
    if decision.task == "regression":
        return _of_numbers(table, column, decision)
    return _of_classes(table, column, decision, written)


def _decide(column: Column, series: pandas.Series, levels: int) -> Decision:
    if column.kind == "date":
        raise ValueError(
            f"the target {column.name!r} is a date, which is not predicted: a number or classes are needed"
        )
    if column.kind == "yes/no":
        return Decision("classification", "yes or no")
    if column.kind == "number" or not is_text(series):
        return decide(column.name, _present(numbers(series)[0]), levels)
    return decide(column.name, None, levels)


def _present(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]


def _of_numbers(table: Table, column: Column, decision: Decision) -> Target:
    y, spoiled = numbers(cells_of(table.frame, column.name))
    wrong = np.flatnonzero(spoiled)
    if len(wrong) == len(y) - column.missing:
        said = texts(cells_of(table.frame, column.name)).iloc[wrong[0]]
        raise ValueError(f"{table.place(wrong[0], column.name)}: regression needs numbers, got {said!r}")
    if len(np.unique(_present(y))) < 2:
        raise ValueError(
            f"the target {column.name!r} has fewer than two different numbers: there is nothing to predict"
        )
    return Target(column, decision, y)


def _of_classes(table: Table, column: Column, decision: Decision, written: pandas.Series) -> Target:
    classes = natural(_spellings(written))
    rows = int(written.count())
    if 2 * len(classes) > rows and len(classes) > 2:
        few = f"{len(classes):,} different values in {rows:,} cells, such as {classes[0]!r} and {classes[1]!r}"
        hint = (
            "; a text to learn a language from is read by `model=transformer`" if len(table.frame.columns) == 1 else ""
        )
        raise ValueError(f"the target {column.name!r} has {few}: too many for classes, and no numbers{hint}")
    return Target(column, decision, labels(written, classes), classes)


def _spellings(written: pandas.Series) -> list[str]:
    """The different labels; of yes and no the most frequent spelling of each."""
    counts = written.value_counts()
    levels = by_frequency(counts)
    usual = {_folded(level): level for level in reversed(levels)}
    return list(usual.values()) if are_pair(levels) else list(levels)


def labels(written: pandas.Series, classes: Sequence[str]) -> np.ndarray:
    """The positions of texts in the classes, (n,) int32, -1 for any other; of yes and no, YES is yes."""
    if are_pair(classes):
        written, classes = written.str.strip().str.casefold(), [_folded(each) for each in classes]
    index = {label: i for i, label in enumerate(classes)}
    return written.map(index).fillna(-1).to_numpy(np.int32)


def _folded(level: str) -> str:
    return level.strip().casefold()


def _written(table: Table, name: str) -> pandas.Series:
    """The text of the labels as it stands in the file, unless one number is written there in two ways."""
    series = texts(cells_of(table.frame, name))
    if name not in table.text:
        return series
    original = table.text[name]
    same = is_text(cells_of(table.frame, name)) or original.nunique() == series.nunique()
    return original.where(series.notna()) if same else series


def natural(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in order, numbers within them by size: "2" before "10", "class 9" before "class 10"."""
    labels = list(labels)
    are_numbers = all(re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", label) for label in labels)
    return tuple(sorted(map(str, labels), key=lambda label: (float(label) if are_numbers else _parts(label), label)))


def _parts(label: str) -> list[tuple[int, str]]:
    """(0, text), (number, ""), (0, text), ..., where the texts between numbers may be empty."""
    pieces = re.split(r"([0-9]+)", label)
    return [(int(piece), "") if i % 2 else (0, piece) for i, piece in enumerate(pieces)]
