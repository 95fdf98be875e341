"""`gdjax runs DIR`: the runs below a folder."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from pathlib import Path

import tyro

from gdjax.cli.errors import UserError
from gdjax.runs import list_runs
from gdjax.text import short, table


@dataclasses.dataclass(frozen=True)
class Runs:
    """List the runs below a folder: why each has stopped or how far it has come, its best value, its time."""

    folder: tyro.conf.Positional[Path] = Path("runs")
    """Where to look; runs if not given."""

    def run(self, argv: list[str]) -> int:
        found = list_runs(self.folder)
        if not found:
            raise UserError(f"no run in {self.folder} or below it")
        rows = [("run", "status", "epochs", "best", "seconds", "optimizer")]
        for each in found:
            epochs = f"{each.epochs:.4g}" if each.config else ""
            seconds = f"{each.seconds:.1f}" if math.isfinite(each.seconds) else ""
            optimizer = short(each.config.optimizer, 40) if each.config else ""
            rows.append((str(each.folder), each.status, epochs, each.best, seconds, optimizer))
        print(textwrap.indent(table(rows, right=(2, 4)), "  "))
        return 0
