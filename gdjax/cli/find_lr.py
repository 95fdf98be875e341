"""`gdjax find-lr`: a learning rate for a table, a model and an optimizer."""

from __future__ import annotations

import dataclasses
import sys

import tyro

from gdjax import runs
from gdjax.cli.device import use_device
from gdjax.cli.errors import option_mistakes, user_mistakes
from gdjax.cli.files import check_picture

NAMES = {field.name for field in dataclasses.fields(runs.RangeTestOptions)}


@dataclasses.dataclass(frozen=True)
class FindLr(runs.RangeTestOptions):
    """Suggest a learning rate: a few hundred steps at a rate that grows, for several seeds at once, and nothing is kept.

    `gdjax find-lr digits --optimizer sgd,momentum,adam` prints for each the rate, its interval over the seeds, and the
    `gdjax train` that takes it. The exit code is 1 if none is suggested.
    """

    data: tyro.conf.Positional[str] = tyro.MISSING
    """A name listed by `gdjax data`, or a file with a table; - is the standard input."""

    def run(self, argv: list[str]) -> int:
        check_picture("--plot", self.plot, (".png",))
        use_device(self.device, self.dtype, self.deterministic)
        with option_mistakes(NAMES):
            found = runs.find_rates(self.data, self)
        if self.plot is not None:
            from gdjax.plots import range_test, save

            with user_mistakes("--plot: "):
                save(range_test(found.tests, f"{self.data}: loss of a batch while the rate grows"), self.plot)
        print(found)
        if self.plot is not None:
            print(f"{self.plot}: {', '.join(found.tests)}")
        if found.failed:
            print("gdjax: no rate is suggested: see above", file=sys.stderr)
        return int(found.failed)
