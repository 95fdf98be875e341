"""`gdjax data`: what a table holds, the data sets by name, and the conversion of tables."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Literal

import tyro

from gdjax import runs
from gdjax.cli.errors import UserError, option_mistakes, user_mistakes
from gdjax.data import CORPORA, SOURCES, convert, describe, load, read_corpus
from gdjax.runs.problem import read
from gdjax.tables.printing import kinds
from gdjax.text import table

LIST = ("shapes",)
CONVERSION = ("target", "task", "dtype", "overwrite")
SPLIT = ("split", "seed", "group", "time", "test")
TABLE = (*(field.name for field in dataclasses.fields(runs.ReadingOptions)), *SPLIT)


@dataclasses.dataclass(frozen=True)
class Data(runs.ReadingOptions):
    """Print what a table is understood to hold and what `gdjax train` would do with it, or list the data sets by name.

    `gdjax data FILE --target price` reads any table that `gdjax train` reads and prints the kinds of its columns, the task,
    what is suspicious, the split and the encoding.

    `gdjax data convert IN OUT` converts a .csv, .npz or .parquet file, once, to a folder of memory-mapped arrays or a
    .parquet file, which `gdjax.data.open_rows` opens as data larger than memory.
    """

    words: tyro.conf.Positional[tuple[str, ...]] = ()
    """Nothing for the list; a file or a name of the list; or: convert IN OUT."""
    shapes: bool = False
    """Of the list: also load each one and print its shape."""
    split: tuple[float, float, float] = (0.7, 0.15, 0.15)
    """Shares of training, validation and test rows."""
    seed: int = 0
    """Of the split."""
    group: str | None = None
    """A column whose equal values stay on one side of the split."""
    time: str | None = None
    """A column by which later rows are for validation, and the latest for the test."""
    test: str | None = None
    """A file whose rows are the test rows."""
    dtype: Literal["float64", "float32"] = "float64"
    """Of a conversion: that of the features."""
    overwrite: bool = False
    """Of a conversion: replace what is there."""

    def run(self, argv: list[str]) -> int:
        first = self.words[:1]
        if not first:
            return self._list()
        if first == ("convert",):
            return self._convert()
        if len(self.words) > 1:
            raise UserError(f"data: one table is needed, or convert IN OUT, got {' '.join(self.words)}")
        if first[0] in CORPORA:
            self._check("a text", ())
            print(read_corpus(first[0]))
            return 0
        return self._describe(first[0])

    def _describe(self, name: str) -> int:
        self._check("a table", TABLE)
        options = runs.TrainOptions(**{each: getattr(self, each) for each in TABLE})
        with option_mistakes(set(TABLE)):
            given, task = read(name, options)
            try:
                problem = runs.pose(given, dataclasses.replace(options, task=task))
            except ValueError as error:
                if self.target is not None:
                    raise
                said = f"without --target, the last column would be predicted, but {error}"
                if given.pixels is not None:
                    raise
                print(kinds(given), said, sep="\n\n")
                return 0
            encoding = problem.encoding_of(problem.rows.train)
            print(problem.understanding, problem.rows, encoding, sep="\n\n")
            if self.target is None and name not in SOURCES:
                print("\nwithout --target, the last column is predicted")
        return 0

    def _check(self, what: str, known: tuple[str, ...]) -> None:
        """Raise UserError for an option that says nothing of what is done."""
        for field in dataclasses.fields(self):
            if field.name not in ("words", *known) and getattr(self, field.name) != field.default:
                raise UserError(f"data: --{field.name} does not belong to {what}")

    def _convert(self) -> int:
        if len(self.words) != 3:
            raise UserError(f"data: write gdjax data convert IN OUT, got gdjax data {' '.join(self.words)}")
        self._check("a conversion", CONVERSION)
        _, given, out = self.words
        with option_mistakes(set(CONVERSION)):
            try:
                source = convert(given, out, self.target, self.task, self.dtype, self.overwrite)
            except FileExistsError as error:
                raise UserError(f"{error}{'' if self.overwrite else '; --overwrite replaces it'}") from error
        print(f"{out}: {len(source)} rows, {len(source.rows([0])[0][0])} features")
        return 0

    def _list(self) -> int:
        self._check("the list", LIST)
        rows = []
        for name in SOURCES:
            rows.append((name, describe(name)))
            if self.shapes:
                with user_mistakes():
                    data = load(name)
                classes = f", {len(data.target_names)} classes" if data.task == "classification" else ""
                rows.append(("", f"{data.x.shape[0]} rows, {data.x.shape[1]} features{classes}"))
        rows += [(name, describe(name)) for name in CORPORA]
        print(textwrap.indent(table(rows), "  "))
        return 0
