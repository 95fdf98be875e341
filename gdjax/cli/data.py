"""`gdjax data`: the data sets by name."""

from __future__ import annotations

import dataclasses
import textwrap

from gdjax.cli.errors import user_mistakes
from gdjax.data import SOURCES, describe, load
from gdjax.text import table


@dataclasses.dataclass(frozen=True)
class Data:
    """List the data sets by name; files in .csv and .npz are read too (gdjax train table.csv --target column)."""

    shapes: bool = False
    """Also load each one and print its shape."""

    def run(self, argv: list[str]) -> int:
        rows = []
        for name in SOURCES:
            rows.append((name, describe(name)))
            if self.shapes:
                with user_mistakes():
                    data = load(name)
                classes = f", {len(data.target_names)} classes" if data.task == "classification" else ""
                rows.append(("", f"{data.x.shape[0]} rows, {data.x.shape[1]} features{classes}"))
        print(textwrap.indent(table(rows), "  "))
        return 0
