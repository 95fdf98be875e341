"""`gdjax sweep`: many training runs of a table in few programs."""

from __future__ import annotations

import dataclasses
import math
import shlex
import sys
from typing import Any, TypeVar

import tyro
from tqdm import tqdm

from gdjax import runs
from gdjax.cli.device import use_device
from gdjax.cli.errors import UserError, option_mistakes, user_mistakes
from gdjax.cli.signals import Termination
from gdjax.cli.words import parse_command
from gdjax.sweeps import Progress

NAMES = {field.name for field in dataclasses.fields(runs.SweepOptions)}
OF_THE_DAY = ("out", "allow_versions", "quiet")  # what may stand beside --resume without data
BAR = "{desc}{percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"

T = TypeVar("T", bound="Sweep")


@dataclasses.dataclass(frozen=True)
class Sweep(runs.SweepOptions):
    """Train with every value of some options, each with several seeds, and keep a table, pictures and what is best.

    `gdjax sweep digits --learning-rate log:1e-4:1e-1:32 --seeds 8` is 256 runs. Of most options of `gdjax train` several
    values are an axis: 0.01,0.1 are two, log:1e-4:1e-1:32 are 32 evenly spaced in their logarithm, lin:0:0.5:6 are 6 evenly
    spaced; and log:1e-4:1e-1 is an interval to draw from, by --random, --latin or --sampler. Each row of the table names the
    `gdjax train` that repeats it. The exit code is 1 if every run went wrong.
    """

    data: tyro.conf.Positional[str | None] = None
    """A name listed by `gdjax data`, or a file with a table; to be left out only with --resume."""

    def run(self, argv: list[str]) -> int:
        options = self._complete()
        use_device(options.device, options.dtype, options.deterministic)
        with option_mistakes(NAMES):
            command = (
                shlex.join(["gdjax", *argv]) if self.out is None or self.data else runs.read_sweep(self.out)["command"]
            )
            sweeping = runs.Sweeping.of(options.data, options.without_data(), command)
        try:
            with bar_of_lanes(options.quiet) as bar:
                stages = sweeping.run(lambda now: show(bar, now))
        except (KeyboardInterrupt, Termination) as error:
            how, code = ("interrupted", 130) if isinstance(error, KeyboardInterrupt) else ("terminated", 143)
            print(f"gdjax: {how}, {sweeping.folder.last_words()}", file=sys.stderr)
            return code
        said = sweeping.finish(stages)
        if not options.quiet:
            print(said)
        if stages.table.wrong.all():
            print("gdjax: every run went wrong: try smaller learning rates, or --clip 1", file=sys.stderr)
            return 1
        return 0

    def _complete(self: T) -> T:
        """The options; with --resume and without data, those of the sweep in the folder."""
        if self.resume and self.out is None:
            raise UserError("--resume needs the folder of the sweep, --out DIR")
        if self.data is not None:
            return self
        if self.out is None or not self.resume:
            raise UserError("data is missing: a name listed by `gdjax data`, or a file with a table")
        given = {name: getattr(self, name) for name in OF_THE_DAY}
        if dataclasses.replace(type(self)(), resume=True, **given) != self:
            raise UserError("--resume without data takes the options of the sweep: give all of them, or --out alone")
        with user_mistakes():
            own = parse_command(type(self), runs.read_sweep(self.out)["command"])
        return dataclasses.replace(own, resume=True, **given)

    def without_data(self) -> runs.SweepOptions:
        return runs.SweepOptions(**{name: getattr(self, name) for name in NAMES})


def bar_of_lanes(quiet: bool) -> Any:
    off = True if quiet else None  # None: where stderr is no terminal
    return tqdm(total=100, disable=off, file=sys.stderr, leave=False, bar_format=BAR)


def show(bar: Any, now: Progress) -> None:
    """The lanes that are running, the best so far, and the time left."""
    best = f", best {now.best:.4g}" if math.isfinite(now.best) else ""
    bar.set_description_str(f"{now.alive} of {now.lanes} lanes running, {now.done} done{best} ", refresh=False)
    bar.update(round(100 * now.share, 1) - bar.n)
