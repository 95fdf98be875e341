"""The parts that all experiments share: command line, table, claims, picture, exit code.

    with Lab(__doc__) as lab:
        lab.table(("method", "steps", "lecture"), rows)
        lab.claim("the fixed-step search takes 1450 steps", steps == 1450)
        lab.save(picture, "find_the_minimum.png")

A claim that fails is printed as FAILED, and the experiment exits with 1. By default an experiment takes at most 30 s on one
core; what needs more is done where `lab.full` holds, which `--full` sets.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
from matplotlib.figure import Figure

from gdjax.plots import save


class Lab:
    """One run of an experiment. It computes in float64, so that claims concern the method and not its rounding."""

    def __init__(self, doc: str | None) -> None:
        parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--out", type=Path, default=Path("pictures"), help="the folder for its pictures")
        parser.add_argument("--full", action="store_true", help="all runs, however long they take")
        given = parser.parse_args()
        self.out: Path = given.out
        self.full: bool = given.full
        self.failed: list[str] = []
        self.began = time.perf_counter()

    def __enter__(self) -> Lab:
        jax.config.update("jax_enable_x64", True)
        self.out.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            return
        print(
            f"\n{time.perf_counter() - self.began:.1f} s; "
            + (f"{len(self.failed)} FAILED" if self.failed else "all held")
        )
        sys.exit(1 if self.failed else 0)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print a table with aligned columns, numbers to the right."""
        cells = [[_format(value) for value in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        numeric = [all(_is_number(cell) for cell in column) for column in zip(*cells, strict=True)] or [False] * len(
            head
        )
        for row in (head, ["-" * width for width in widths], *cells):
            aligned = (c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True))
            print("  " + "  ".join(aligned).rstrip())
        print()

    def claim(self, words: str, holds: Any) -> None:
        """Print a claim of the experiment, and whether it holds."""
        print(f"  {'holds ' if holds else 'FAILED'}  {words}")
        if not holds:
            self.failed.append(words)

    def save(self, picture: Figure, name: str) -> None:
        print(f"  picture {save(picture, self.out / name)}")


def _format(value: Any) -> str:
    if isinstance(value, str) or value is None:
        return value or ""
    number = float(value)
    return f"{int(number):,}" if number.is_integer() and abs(number) < 1e15 else f"{number:.4g}"


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "") or 0)
    except ValueError:
        return False
    return True
