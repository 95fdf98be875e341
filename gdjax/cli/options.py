"""The options of `gdjax train`: those of `runs.TrainOptions`, and the table."""

from __future__ import annotations

import dataclasses

import tyro

from gdjax.runs import TrainOptions


@dataclasses.dataclass(frozen=True)
class Options(TrainOptions):
    """The options of a training run."""

    data: tyro.conf.Positional[str | None] = None
    """A name listed by `gdjax data`, or a file with a table; - is the standard input; to be left out only with --resume."""

    def without_data(self) -> TrainOptions:
        """The options as `gd.runs.train` takes them."""
        names = [field.name for field in dataclasses.fields(TrainOptions)]
        return TrainOptions(**{name: getattr(self, name) for name in names})
