"""An understanding as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gdjax.tables.cells import cells_of
from gdjax.tables.columns import Column, between, recognize
from gdjax.tables.pixels import described
from gdjax.text import counted, short, table

if TYPE_CHECKING:
    from gdjax.data.table import Table
    from gdjax.tables.understanding import Understanding

OTHER = {"classification": "regression", "regression": "classification"}


def told(found: Understanding) -> str:
    """Everything that was understood, as paragraphs of lines."""
    features = described(found.shape) if found.shape else counted(len(found.columns), "feature")
    parts = [
        [f"{found.name}: {found.origin}, {features}", *(f"  {note}" for note in found.notes)],
        [_task(found), *_goal(found)],
        *([] if found.shape else [_features(found.columns)]),
    ]
    if found.left_out:
        how = "beside the pixels" if found.shape else "--only, --categorical or --numeric takes them in"
        parts.append([f"left out ({how}):", *_left(found.left_out)])
    if found.remarks:
        parts.append(["remarks:", *(f"  - {remark}" for remark in found.remarks)])
    return "\n\n".join("\n".join(lines) for lines in parts)


def kinds(given: Table) -> str:
    """The kind of each column of a table, whatever the target."""
    columns = [recognize(cells_of(given.frame, name)) for name in given.frame]
    lines = [f"{given.name}: {given.origin}", *(f"  {note}" for note in given.notes), "", *_features(columns)]
    return "\n".join(lines)


def _task(found: Understanding) -> str:
    override = f" (else --task {OTHER[found.task]})" if _could_be_other(found) else ""
    return f"target {found.target!r}: {found.task}, {found.reason}{override}"


def _could_be_other(found: Understanding) -> bool:
    """Whether the task was found, and the target might be taken for the other one."""
    if found.reason == "as asked":
        return False
    y = found.y[found.rows]
    return found.has_numbers if found.classes else 2 * len(np.unique(y)) <= len(y)


def _goal(found: Understanding) -> list[str]:
    y = found.y[found.rows]
    if not found.classes:
        span = between(float(y.min()), float(y.max()))
        return [f"  {counted(len(y), 'row')}, {span}, mean {y.mean():.6g}, median {np.median(y):.6g}"]
    counts = np.bincount(y, minlength=len(found.classes))
    shown = [f"{each} ({count:,})" for each, count in zip(found.classes, counts, strict=True)][:10]
    more = f", ... ({len(counts)} classes)" if len(counts) > len(shown) else ""
    return [f"  {', '.join(shown)}{more}"]


def _features(columns: Sequence[Column]) -> list[str]:
    rows = [("column", "kind", "missing", "range or levels")]
    for column in columns:
        kind = f"{column.kind} ({column.reason})" if column.reason else column.kind
        rows.append((column.name, kind, f"{column.missing:,}" if column.missing else "", short(column.span(), 80)))
    return table(rows, right=(2,)).splitlines()


def _left(columns: tuple[Column, ...]) -> list[str]:
    return [f"  {line}" for line in table((each.name, each.kind, each.reason) for each in columns).splitlines()]
