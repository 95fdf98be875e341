"""`gdjax predict RUN FILE`: predictions of a trained model."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import tyro

from gdjax.cli.errors import UserError, user_mistakes
from gdjax.cli.evaluate import open_run
from gdjax.data import read_features
from gdjax.files import write_whole
from gdjax.runs import predictions


@dataclasses.dataclass(frozen=True)
class Predict:
    """Predict the target of every row of a file, and print CSV or write it to --out."""

    folder: tyro.conf.Positional[Path]
    """A run folder, written by `gdjax train`."""
    file: tyro.conf.Positional[Path]
    """A .csv or .npz file with the features of the training table; other columns are not looked at."""
    out: Path | None = None
    """A CSV file to write instead of the screen."""
    overwrite: bool = False
    """Replace that file if it is there; never one of the run, or the one that is read."""

    def run(self, argv: list[str]) -> int:
        self._check_out()
        run = open_run(self.folder)
        with user_mistakes():
            x = read_features(self.file, run.config.data.feature_names)
        text = predictions(run, x)
        if self.out is None:
            sys.stdout.write(text)
            return 0
        with user_mistakes(f"--out {self.out}: "):
            write_whole(self.out, text)
        print(f"{self.out}: {len(x)} rows")
        return 0

    def _check_out(self) -> None:
        """Raise UserError if --out would replace a file that it must not."""
        if self.out is None or not self.out.exists():
            return
        if any(kept.exists() and self.out.samefile(kept) for kept in (*self.folder.glob("*"), self.file)):
            raise UserError(f"{self.out} belongs to the run, or is the file to read: choose another --out")
        if not self.overwrite:
            raise UserError(f"{self.out} exists: choose another --out, or --overwrite it")
