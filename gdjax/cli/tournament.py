"""`gdjax tournament`: optimizers compared on a table, fairly."""

from __future__ import annotations

import dataclasses
import shlex
import sys

import tyro

from gdjax import runs
from gdjax.cli.device import use_device
from gdjax.cli.errors import option_mistakes
from gdjax.cli.sweep import bar_of_lanes, show

NAMES = {field.name for field in dataclasses.fields(runs.TournamentOptions)}


@dataclasses.dataclass(frozen=True)
class Tournament(runs.TournamentOptions):
    """Compare optimizers at equal budgets, each tuned as the others are, and say which differences are significant.

    `gdjax tournament digits --optimizers sgd,momentum,adam` tunes each several times, over as many draws of what it declares
    tunable, runs what was chosen with fresh seeds to the end of the schedule, and tests all pairs. The exit code is 1 if
    every optimizer went wrong.
    """

    data: tyro.conf.Positional[str] = tyro.MISSING
    """A name listed by `gdjax data`, or a file with a table; - is the standard input."""

    def run(self, argv: list[str]) -> int:
        use_device(self.device, self.dtype, self.deterministic)
        with option_mistakes(NAMES):
            race = runs.Race.of(self.data, self)
        with bar_of_lanes(self.quiet) as bar:
            found = race.run(lambda now: show(bar, now))
        said = race.finish(found, shlex.join(["gdjax", *argv]))
        if not self.quiet:
            print(said)
        if runs.all_went_wrong(found):
            print("gdjax: every optimizer went wrong", file=sys.stderr)
            return 1
        return 0
