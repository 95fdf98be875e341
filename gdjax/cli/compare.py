"""`gdjax compare RUN RUN`: where the configurations of two runs differ, and their curves in one picture."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from pathlib import Path
from typing import Any

import tyro

from gdjax.cli.errors import user_mistakes
from gdjax.cli.files import check_picture
from gdjax.runs.compare import Overview, differences, overview, parameters_apart
from gdjax.runs.damage import RecordError
from gdjax.runs.folder import read_config
from gdjax.text import short, table


@dataclasses.dataclass(frozen=True)
class Compare:
    """Print the fields in which the configurations of two runs differ, and how far each has come."""

    one: tyro.conf.Positional[Path]
    """A run folder, finished or not."""
    other: tyro.conf.Positional[Path]
    """Another."""
    out: Path | None = None
    """A .png to draw both learning curves into."""

    def run(self, argv: list[str]) -> int:
        check_picture("--out", self.out, (".png",))
        with user_mistakes():
            pair = [_readable(folder) for folder in (self.one, self.other)]
        rows = [("", *(str(each.folder) for each in pair))]
        first, second = (each.config for each in pair)
        fields = differences(first, second) if first and second else {}
        rows += [(name, *(short(_said(value)) for value in values)) for name, values in fields.items()]
        rows += [("status", *(each.status for each in pair)), ("best", *(each.best for each in pair))]
        rows += [("epochs", *(f"{each.epochs:.4g}" for each in pair))]
        rows += [("seconds", *(f"{each.seconds:.1f}" if math.isfinite(each.seconds) else "" for each in pair))]
        if apart := parameters_apart(*pair):
            rows += [("parameters", apart, "")]
        print(textwrap.indent(table(rows), "  "))
        if self.out is not None:
            self._draw(pair)
        return 0

    def _draw(self, pair: list[Overview]) -> None:
        from gdjax.plots import curves, save

        names = [each.folder.absolute().name for each in pair]
        names = names if len(set(names)) == 2 else [str(each.folder) for each in pair]
        with user_mistakes("--out: "):
            task = pair[0].config.data.task if pair[0].config else ""
            metric = "accuracy" if task == "classification" else "r2"
            save(curves({name: each.history for name, each in zip(names, pair, strict=True)}, metric=metric), self.out)  # type: ignore[arg-type]
        print(f"{self.out}: {' and '.join(names)}")


def _readable(folder: Path) -> Overview:
    read_config(folder)  # which says what else it is
    found = overview(folder)
    if found.config is None:
        raise RecordError(f"{folder} is {found.status}")
    return found


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else "" if value is None else str(value)
