"""`gdjax certify [NAME...]`: each optimizer and wrapper, compared with its references."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import tyro

from gdjax.calls import Optimizer, parse
from gdjax.certify import DTYPES, Row, certificate, differences
from gdjax.certify.own import as_candidate
from gdjax.certify.report import ABOUT, HEAD, as_json, as_markdown, line
from gdjax.cli.errors import UserError, user_mistakes
from gdjax.cli.objects import load_object
from gdjax.files import write_whole
from gdjax.optimizers import OPTIMIZERS, TRANSFORMS, WRAPPERS
from gdjax.optimizers.request import catalogue_at

CERTIFIED = {**OPTIMIZERS, **WRAPPERS, **TRANSFORMS}
RATE = 0.01  # learning rate of an optimizer named without one
OWN_LIMIT = 1e-9  # relative, in float64: a rule with another order of operations rounds differently


@dataclasses.dataclass(frozen=True)
class Certify:
    """Compare optimizers and wrappers with Optax, oracles from their papers, and torch, on the same recorded gradients.

    Prints one row per comparison and writes all as JSON and Markdown. The exit code is 1 if a row fails.
    `gdjax certify FILE.py:my_rule --against adam` tests a rule of your own in float64.
    """

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Optimizers, wrappers and transforms, or FILE.py:name for your own; none means all of the catalogue."""
    against: str | None = None
    """For your own: the optimizer it should equal, e.g. adam or "adam(0.01, b1=0.8)"."""
    out: Path | None = Path("certificates")
    """A folder for certificates.json and certificates.md."""
    steps: int = 1000
    """Steps of each recorded case, from 10."""
    jobs: int = os.cpu_count() or 1
    """Processes that share the names, where there are several."""

    def run(self, argv: list[str]) -> int:
        if self.steps < 10:
            raise UserError(f"--steps must be at least 10, got {self.steps}")
        own = [name for name in self.names if ":" in name]
        if bool(own) != (self.against is not None):
            raise UserError("FILE.py:name and --against belong together")
        unknown = [name for name in self.names if name not in CERTIFIED and name not in own]
        if unknown:
            with user_mistakes():
                parse(unknown[0], CERTIFIED)
            raise UserError(f"{unknown[0]!r} must be the bare name of an optimizer, a wrapper or a transform")
        if self.out is not None:
            with user_mistakes(f"--out {self.out}: "):
                self.out.mkdir(parents=True, exist_ok=True)
        if self.jobs < 1:
            raise UserError(f"--jobs must be at least 1, got {self.jobs}")
        judged = [row for name in own for row in self._judge(name)]
        print(f"{ABOUT}\n\n{HEAD}")
        rows: list[Row] = []
        others = [name for name in self.names or CERTIFIED if name not in own]
        try:
            for row in itertools.chain(judged, self._certificates(others)):
                rows.append(row)
                print(line(row), flush=True)
        finally:  # also after an interrupt
            self._write(rows)
        red = sum(not row.passed for row in rows)
        print(f"\n{len(rows)} rows, {red} red")
        return 1 if red else 0

    def _certificates(self, names: list[str]) -> Iterator[Row]:
        """The rows of the names in their order, computed in several processes."""
        if min(self.jobs, len(names)) < 2:
            for name in names:
                yield from certificate(name, self.steps)
            return
        spawn = multiprocessing.get_context("spawn")  # JAX has threads, with which a fork would hang
        with concurrent.futures.ProcessPoolExecutor(min(self.jobs, len(names)), spawn) as pool:
            for rows in pool.map(_rows, names, [self.steps] * len(names)):
                yield from rows

    def _judge(self, place: str) -> list[Row]:
        """The row of a user's own rule."""
        with user_mistakes():
            reference = parse(str(self.against), catalogue_at(lambda name: RATE))
            if not isinstance(reference, Optimizer):
                raise UserError(f"--against must be an optimizer, got {self.against!r}")
            judged = as_candidate(load_object(place), reference)
            found = differences(judged, reference, DTYPES[:1], self.steps, OWN_LIMIT)["float64"]
        return [Row(place, reference.recipe.name, "float64", *found, OWN_LIMIT, "")]

    def _write(self, rows: list[Row]) -> None:
        if self.out is not None:
            with user_mistakes(f"--out {self.out}: "):
                write_whole(self.out / "certificates.json", as_json(rows, self.steps))
                write_whole(self.out / "certificates.md", as_markdown(rows))


def _rows(name: str, steps: int) -> list[Row]:
    return list(certificate(name, steps))
