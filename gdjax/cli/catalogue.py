"""`gdjax schedules`, `losses`, `metrics`, `models`, `problems`: lists of what exists, or the full help of one."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import tyro

from gdjax.cli.errors import UserError
from gdjax.losses import LOSSES
from gdjax.metrics import METRICS
from gdjax.models import MODELS
from gdjax.problems import PROBLEMS
from gdjax.schedules import SCHEDULES
from gdjax.text import did_you_mean

Names = tyro.conf.Positional[tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class _Listing:
    names: Names = ()
    """Names to show in full; without names, all are listed."""

    def run(self, argv: list[str]) -> int:
        table, kind = self.table()
        if self.names:
            return show_each(self.names, table, kind)
        for name, thing in table.items():
            print(f"  {name}{_signature(thing)}\n      {self.summary(name, thing)}")
        return 0

    def summary(self, name: str, thing: Any) -> str:
        return _doc(thing).partition("\n")[0]

    def table(self) -> tuple[Mapping[str, Any], str]:
        """Name -> object, and the word for one of them."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Schedules(_Listing):
    """List the schedules of a learning rate."""

    def table(self) -> tuple[Mapping[str, Any], str]:
        return SCHEDULES, "schedule"


@dataclasses.dataclass(frozen=True)
class Losses(_Listing):
    """List the losses of one example, functions of its prediction and its label."""

    def table(self) -> tuple[Mapping[str, Any], str]:
        return {name: loss.function for name, loss in LOSSES.items()}, "loss"


@dataclasses.dataclass(frozen=True)
class Metrics(_Listing):
    """List the metrics, functions of all predictions and targets."""

    def table(self) -> tuple[Mapping[str, Any], str]:
        return {name: metric.metric for name, metric in METRICS.items()}, "metric"

    def summary(self, name: str, thing: Any) -> str:
        better: dict[bool | None, str] = {True: "; more is better", False: "; less is better"}
        return f"of a {METRICS[name].task}{better.get(METRICS[name].higher_is_better, '')}"


@dataclasses.dataclass(frozen=True)
class Models(_Listing):
    """List the models."""

    def table(self) -> tuple[Mapping[str, Any], str]:
        return MODELS, "model"


@dataclasses.dataclass(frozen=True)
class Problems(_Listing):
    """List the functions that `gdjax minimize` knows by name."""

    def table(self) -> tuple[Mapping[str, Any], str]:
        return PROBLEMS, "problem"


def show_each(names: tuple[str, ...], table: Mapping[str, Any], kind: str) -> int:
    for name in names:
        if name not in table:
            raise UserError(f"no {kind} {name!r}: {did_you_mean(name, table)}")
    print(
        "\n\n".join(
            f"{name}{_signature(table[name])}\n\n{textwrap.indent(_doc(table[name]), '    ')}" for name in names
        )
    )
    return 0


def _signature(thing: Any) -> str:
    """The signature without types."""
    parameters = inspect.signature(thing).parameters.values()
    return str(inspect.Signature([p.replace(annotation=inspect.Parameter.empty) for p in parameters]))


def _doc(thing: Callable[..., Any]) -> str:
    return inspect.getdoc(thing) or ""
