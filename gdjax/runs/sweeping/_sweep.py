"""A sweep from a table to its folder: what `gdjax sweep` does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gdjax.runs._train import command_of
from gdjax.runs.sweeping.folder import SweepFolder
from gdjax.runs.sweeping.options import AXES, SweepOptions, space_of
from gdjax.runs.sweeping.plans import Group, Planning
from gdjax.runs.sweeping.stages import Stages
from gdjax.sweeps import (
    Progress,
    SweepTable,
    grid,
    latin_hypercube,
    optuna_search,
    random_configurations,
    rung_budgets,
    successive_halving,
)
from gdjax.sweeps.space import Axis, Choice, Interval

SMALLEST_RUNG = 16  # times fewer epochs on the first rung than on the last


@dataclasses.dataclass(frozen=True, eq=False)
class Sweeping:
    """A sweep that is chosen and checked, before its first step.

    Args:
        data: as for `gd.runs.train`.
        configurations: those that are known before the first run, name of an option, or path, -> value.
        groups: their runs.
        folder: where it is kept.
    """

    data: Any
    options: SweepOptions
    planning: Planning
    configurations: tuple[dict[str, Any], ...]
    groups: tuple[Group, ...]
    folder: SweepFolder

    @classmethod
    def of(cls, data: Any, options: SweepOptions, command: str) -> Sweeping:
        """Read the table, and plan the runs.

        Raises: ValueError, in one line, for a table, an axis, an option or a folder that cannot be used.
        """
        space = space_of(options)
        _check_method(options, space.axes)
        planning = Planning.of(data, space)
        configurations = configurations_of(space.axes, options)
        groups = planning.groups(configurations)
        if options.set:
            _check_axes(planning, configurations)
        folder = SweepFolder.open(options, planning, groups, configurations, command)
        return cls(data, options, planning, tuple(configurations), tuple(groups), folder)

    def run(self, tell: Callable[[Progress], None] = lambda _: None) -> Stages:
        """Run all lanes.   Raises: KeyboardInterrupt after Ctrl-C; the folder has what was found."""
        options, budgets = self.options, _budgets(self.planning) if self.options.halving else [1.0]
        number = options.trials if options.sampler else len(self.configurations)
        runs = sum(max(1, int(number * budgets[0] / budget)) for budget in budgets) * len(self.planning.space.seeds)
        stages = Stages(self.planning, self.folder.lanes, runs, options, tell)
        if options.sampler is not None:
            optuna_search(stages.run, self.planning.space.axes, number, seed=options.seed)
        elif options.halving:
            rung = lambda some, epochs: stages.run([{**each, "epochs": epochs} for each in some])  # noqa: E731
            successive_halving(rung, self.configurations, budgets)
        else:
            stages.run(self.configurations)
        return stages

    def finish(self, stages: Stages) -> str:
        """Write the results; return what is to be said of them."""
        table = stages.table
        runs = zip(table.configuration.tolist(), table.seed.tolist(), strict=True)
        commands = [self._command(stages.configurations[number], seed) for number, seed in runs]
        name = self.planning.problem.table.name
        self.folder.finish(table, commands, self.groups[0].job.objective.metric, f"{name}: {_said(table)}")
        lines = [f"{name}: {self._runs()}", str(table), ""]
        lines += [] if table.wrong.all() else [f"best: {_said(table)}", f"its best run again: {_best(table, commands)}"]
        return "\n".join([*lines, self.folder.contents()])

    def _command(self, configuration: Mapping[str, Any], seed: int) -> str:
        """The `gdjax train` that repeats a run."""
        return command_of(self.data, self.planning.space.options(configuration, seed))

    def _runs(self) -> str:
        job = self.groups[0].job
        kinds = len(self.groups)
        return f"{job.objective.model}, {job.optimizer}, {job.stop}" if kinds == 1 else f"{kinds} kinds of runs"


def _said(table: SweepTable) -> str:
    """The best configuration, with its interval over the seeds."""
    if table.wrong.all():
        return "every run went wrong"
    best = table.top(1)[0]
    values = {name: f"{x:.4g}" if isinstance(x, float) else str(x) for name, x in best.configuration.items()}
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items()) or "the options as they are"
    interval = f" ({best.low:.4g} to {best.high:.4g} over {best.seeds} seeds)" if np.isfinite(best.low) else ""
    return f"{said}: {table.monitor.replace('_', ' ')} {best.mean:.4g}{interval}"


def _best(table: SweepTable, commands: Sequence[str]) -> str:
    """The command of the best run of the best configuration."""
    own = np.flatnonzero((table.configuration == table.top(1)[0].number) & ~table.wrong)
    return commands[int(own[np.argmin(table.best_value[own])])]


def configurations_of(axes: Mapping[str, Axis], options: SweepOptions) -> list[dict[str, Any]]:
    """The configurations that are known before the first run: a grid, as many draws as are asked for, or an example."""
    if options.random is not None:
        return random_configurations(axes, options.random, options.seed)
    if options.latin is not None:
        return latin_hypercube(axes, options.latin, options.seed)
    if options.sampler is not None:
        return random_configurations(axes, 1, options.seed)
    for name, axis in axes.items():
        if not isinstance(axis, list):
            how = (
                "say how often by `random`, `latin` or `sampler`, or give its number of values, as in log:1e-4:1e-1:32"
            )
            raise ValueError(f"`{name}` is an interval to draw from: {how}")
    return grid(axes)


def _check_method(options: SweepOptions, axes: Mapping[str, Axis]) -> None:
    """Raise ValueError for ways to choose configurations that do not fit each other."""
    asked = [name for name in ("random", "latin", "sampler") if getattr(options, name) is not None]
    if len(asked) > 1:
        raise ValueError(f"give one of `random`, `latin` and `sampler`, not {len(asked)} of them")
    for name in ("random", "latin", "trials", "lanes", "memory"):
        if (number := getattr(options, name)) is not None and not 1 <= number <= 1_000_000:
            raise ValueError(f"`{name}` must be at least 1, got {number}")
    if options.sampler is None and options.trials != SweepOptions.trials:
        raise ValueError("`trials` is of a `sampler`; of draws give their number: `random` or `latin`")
    if not asked and options.seed != SweepOptions.seed:
        raise ValueError(f"`seed` is of the draws of configurations, and a grid has none: give `seeds={options.seed},`")
    if options.sampler is not None and not axes:
        raise ValueError(f"`sampler={options.sampler}` needs an axis, such as a learning rate of log:1e-4:1e-1")
    if options.sampler is not None and options.halving:
        raise ValueError("`halving` takes a grid, `random` or `latin`, not a `sampler`")
    if options.halving and ("epochs" in axes or options.steps is not None or options.epochs is None):
        raise ValueError("`halving` raises the epochs itself: give one number of `epochs`, and no `steps`")


def _check_axes(planning: Planning, configurations: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError for an axis all of whose values are one run, as where a path of `set`, read last, is its number."""
    for name, axis in planning.space.axes.items():
        values = _examples(axis)
        if len(values) > 1 and not any(_varies(planning, each, name, values) for each in configurations):
            said = f"`{name}`" if name in AXES else f"`set={name}`"
            raise ValueError(f"{said} changes no run: a path given by `set` leads to the same number")


def _examples(axis: Axis) -> Sequence[Any]:
    """The values of an axis; of an interval, two."""
    if isinstance(axis, Interval):
        return [axis.quantile(0.25), axis.quantile(0.75)]
    return axis.values if isinstance(axis, Choice) else list(axis)


def _varies(planning: Planning, configuration: Mapping[str, Any], name: str, values: Sequence[Any]) -> bool:
    """Whether values of this name are different runs, if all else is as in the configuration."""
    encoded, job = planning.plan({**configuration, name: values[0]})
    others = (planning.plan({**configuration, name: value}) for value in values[1:])
    return any(other is not encoded or each != job for other, each in others)


def _budgets(planning: Planning) -> list[float]:
    """The epochs of each rung."""
    epochs = float(planning.space.base.epochs or 1)
    most = int(epochs) if epochs.is_integer() else epochs
    return rung_budgets(max(1, most / SMALLEST_RUNG) if most > 1 else most, most)
