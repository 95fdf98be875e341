"""The commands of `gdjax`, in the order of their list."""

from __future__ import annotations

import importlib
from typing import Any

COMMANDS = {
    "train": "gdjax.cli.train.Train",
    "launch": "gdjax.cli.launch.Launch",
    "sweep": "gdjax.cli.sweep.Sweep",
    "find-lr": "gdjax.cli.find_lr.FindLr",
    "tournament": "gdjax.cli.tournament.Tournament",
    "evaluate": "gdjax.cli.evaluate.Evaluate",
    "predict": "gdjax.cli.predict.Predict",
    "sample": "gdjax.cli.sample.Sample",
    "show": "gdjax.cli.show.Show",
    "runs": "gdjax.cli.runs.Runs",
    "compare": "gdjax.cli.compare.Compare",
    "replay": "gdjax.cli.replay.Replay",
    "minimize": "gdjax.cli.minimize.Minimize",
    "curve": "gdjax.cli.curve.Curve",
    "backprop": "gdjax.cli.backprop.Backprop",
    "lab": "gdjax.cli.lab.Lab",
    "check": "gdjax.cli.check.Check",
    "certify": "gdjax.cli.certify.Certify",
    "optimizers": "gdjax.cli.optimizers.Optimizers",
    "schedules": "gdjax.cli.catalogue.Schedules",
    "losses": "gdjax.cli.catalogue.Losses",
    "metrics": "gdjax.cli.catalogue.Metrics",
    "models": "gdjax.cli.catalogue.Models",
    "problems": "gdjax.cli.catalogue.Problems",
    "data": "gdjax.cli.data.Data",
    "book": "gdjax.cli.book.Book",
}


def command(name: str) -> type[Any]:
    """The options of a command, whose module is imported for it alone."""
    module, _, found = COMMANDS[name].rpartition(".")
    return getattr(importlib.import_module(module), found)
