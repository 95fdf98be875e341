"""`gdjax predict RUN FILE`: predictions of a trained model."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import tyro

from gdjax.cli.errors import UserError, option_mistakes, user_mistakes
from gdjax.cli.evaluate import open_as
from gdjax.files import write_whole
from gdjax.runs import load_table, predicted_file


@dataclasses.dataclass(frozen=True)
class Predict:
    """Predict the target of every row of a file, and print CSV or write it to --out.

    The columns are the prediction; the probability of each class, or the ends low and high of an interval; and a remark on
    what is outside of the training rows, or cannot be read.
    """

    folder: tyro.conf.Positional[Path]
    """A run folder, written by `gdjax train`."""
    file: tyro.conf.Positional[Path]
    """A file with the columns of the training table, read as that was; others are not looked at. - is the standard input."""
    keep: tuple[str, ...] = ()
    """Columns of the file to repeat before the predictions; names, or one text with commas."""
    level: float | None = None
    """The share of new rows that an interval of a regression covers; 0.9 if not given."""
    out: Path | None = None
    """A CSV file to write instead of the screen."""
    overwrite: bool = False
    """Replace that file if it is there; never one of the run, or the one that is read."""

    def run(self, argv: list[str]) -> int:
        self._check_out()
        run = open_as(load_table, self.folder)
        kept = [name for each in self.keep for name in each.split(",")]
        with option_mistakes({"keep", "level"}):
            text, rows = predicted_file(run, self.file, kept, self.level)
        if (stop := run.result.get("stop")) in ("NON_FINITE", "DIVERGED"):
            print(f"gdjax: {self.folder} ended {stop}: its predictions are worth nothing", file=sys.stderr)
        elif self.level is None and run.without_intervals:
            print(f"gdjax: {run.without_intervals}", file=sys.stderr)
        if self.out is None:
            sys.stdout.write(text)
            return 0
        with user_mistakes(f"--out {self.out}: "):
            write_whole(self.out, text)
        print(f"{self.out}: {rows} rows")
        return 0

    def _check_out(self) -> None:
        """Raise UserError if --out is in no folder, or would replace a file that it must not."""
        if self.out is not None and not self.out.absolute().parent.is_dir():
            raise UserError(f"--out must be in a folder that exists, got {self.out}")
        if self.out is None or not self.out.exists():
            return
        kept = (*self.folder.glob("*"), self.file)
        if any(each.exists() and self.out.samefile(each) for each in kept):
            raise UserError(f"{self.out} belongs to the run, or is the file to read: choose another --out")
        if not self.overwrite:
            raise UserError(f"{self.out} exists: choose another --out, or --overwrite it")
