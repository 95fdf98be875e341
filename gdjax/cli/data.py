"""`gdjax data`: the data sets by name, and the conversion of tables."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Literal

import tyro

from gdjax.cli.errors import UserError, option_mistakes, user_mistakes
from gdjax.data import SOURCES, convert, describe, load
from gdjax.text import table

USAGE = "gdjax data convert IN OUT"


@dataclasses.dataclass(frozen=True)
class Data:
    """List the data sets by name; files in .csv and .npz are read too (gdjax train table.csv --target column).

    `gdjax data convert IN OUT` converts a .csv, .npz or .parquet file, once, to a folder of memory-mapped arrays or a
    .parquet file, which `gdjax.data.open_rows` opens as data larger than memory.
    """

    convert: tyro.conf.Positional[tuple[str, ...]] = ()
    """Nothing for the list, or: convert IN OUT."""
    shapes: bool = False
    """Also load each one and print its shape."""
    target: str | None = None
    """Of a conversion: the column (or array) to predict; the last column (or "y") if not given."""
    task: Literal["classification", "regression"] | None = None
    """Of a conversion: found from the target if not given."""
    dtype: Literal["float64", "float32"] = "float64"
    """Of a conversion: that of the features."""
    overwrite: bool = False
    """Of a conversion: replace what is there."""

    def run(self, argv: list[str]) -> int:
        return self._convert() if self.convert else self._list()

    def _convert(self) -> int:
        if self.convert[0] != "convert" or len(self.convert) != 3:
            raise UserError(f"data: write {USAGE}, got gdjax data {' '.join(self.convert)}")
        _, given, out = self.convert
        with option_mistakes({"target", "task", "dtype", "overwrite"}):
            try:
                source = convert(given, out, self.target, self.task, self.dtype, self.overwrite)
            except FileExistsError as error:
                raise UserError(f"{error}{'' if self.overwrite else '; --overwrite replaces it'}") from error
        print(f"{out}: {len(source)} rows, {len(source.rows([0])[0][0])} features")
        return 0

    def _list(self) -> int:
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
