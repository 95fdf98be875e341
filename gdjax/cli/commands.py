"""The commands of `gdjax`, in the order of their list."""

from __future__ import annotations

from typing import Any

from gdjax.cli.backprop import Backprop
from gdjax.cli.book import Book
from gdjax.cli.catalogue import Losses, Metrics, Models, Problems, Schedules
from gdjax.cli.certify import Certify
from gdjax.cli.check import Check
from gdjax.cli.compare import Compare
from gdjax.cli.curve import Curve
from gdjax.cli.data import Data
from gdjax.cli.evaluate import Evaluate
from gdjax.cli.find_lr import FindLr
from gdjax.cli.lab import Lab
from gdjax.cli.launch import Launch
from gdjax.cli.minimize import Minimize
from gdjax.cli.optimizers import Optimizers
from gdjax.cli.predict import Predict
from gdjax.cli.replay import Replay
from gdjax.cli.runs import Runs
from gdjax.cli.sample import Sample
from gdjax.cli.show import Show
from gdjax.cli.sweep import Sweep
from gdjax.cli.tournament import Tournament
from gdjax.cli.train import Train

COMMANDS: dict[str, type[Any]] = {
    "train": Train,
    "launch": Launch,
    "sweep": Sweep,
    "find-lr": FindLr,
    "tournament": Tournament,
    "evaluate": Evaluate,
    "predict": Predict,
    "sample": Sample,
    "show": Show,
    "runs": Runs,
    "compare": Compare,
    "replay": Replay,
    "minimize": Minimize,
    "curve": Curve,
    "backprop": Backprop,
    "lab": Lab,
    "check": Check,
    "certify": Certify,
    "optimizers": Optimizers,
    "schedules": Schedules,
    "losses": Losses,
    "metrics": Metrics,
    "models": Models,
    "problems": Problems,
    "data": Data,
    "book": Book,
}
