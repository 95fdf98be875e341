"""The stages of a sweep: configurations that are known together, run as lanes group by group."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gdjax.runs.sweeping.options import SweepOptions
from gdjax.runs.sweeping.plans import Group, Planning
from gdjax.sweeps import Progress, SweepTable, sweep

Tell = Callable[[Progress], None]
COLUMNS = ("configuration", "seed", "stop", "best_value", "best_epoch", "epochs", "steps")


class Stages:
    """What has been run so far.

    Args:
        planning: the runs.
        place: a folder for what each group goes on from.
        lanes: their number in the whole sweep.
        options: how lanes are run.
        tell: called with the progress of the whole sweep.
    """

    planning: Planning
    configurations: list[dict[str, Any]]
    tables: list[SweepTable]

    def __init__(self, planning: Planning, place: Path, lanes: int, options: SweepOptions, tell: Tell) -> None:
        self.planning, self._place, self._lanes, self._tell = planning, place, lanes, tell
        self._engine, self._width, self._allow_versions = options.engine, options.lanes, options.allow_versions
        self._memory = None if options.memory is None else int(options.memory * 1e6)
        self.configurations, self.tables = [], []
        self._stage, self._done, self._best = 0, 0, np.nan

    def run(self, configurations: Sequence[Mapping[str, Any]]) -> list[float]:
        """Run a stage.

        Returns: the mean over the seeds of each configuration; inf where a run went wrong.
        Raises: KeyboardInterrupt after Ctrl-C; the folder has what was found.
        """
        groups, tables = self.planning.groups(configurations), []
        for number, group in enumerate(groups):
            tables.append(self._run(group, self._place / str(self._stage) / str(number)))
            self._done += len(tables[-1])
        table = merged(tables, groups, [as_words(each) for each in configurations])
        self.tables.append(table)
        self.configurations += map(dict, configurations)
        self._stage += 1
        return [each.mean if each.wrong == 0 else np.inf for each in table.by_configuration()]

    def _run(self, group: Group, place: Path) -> SweepTable:
        job, parts = group.job, group.encoded.parts
        return sweep(
            group.step,
            group.init,
            job.optimizer,
            parts.train,
            parts.validation,
            axes=group.configurations,
            seeds=self.planning.space.seeds,
            epochs=job.epochs,
            steps=job.steps,
            every=job.every,
            batch_size=job.batch_size,
            order=job.order,
            stop=job.stop,
            evaluate=job.objective.evaluate,
            model_state=job.objective.model.init_state(),
            width=self._width,
            memory=self._memory,
            engine=self._engine,
            out=place,
            resume=place.exists(),
            allow_versions=self._allow_versions,
            tell=self._say,
        )

    def _say(self, now: Progress) -> None:
        """Tell of a group as a part of the whole."""
        self._best = float(np.fmin(self._best, now.best))  # of the loss, which every run here monitors
        share = (self._done + now.lanes * now.share) / self._lanes
        self._tell(Progress(now.alive, self._done + now.done, self._lanes, self._best, min(share, 1.0)))

    @property
    def table(self) -> SweepTable:
        """The table of all stages."""
        before = np.cumsum([0, *(len(table.configurations) for table in self.tables)])
        numbers = [table.configuration + first for table, first in zip(self.tables, before, strict=False)]
        return _together(self.tables, np.concatenate(numbers), [as_words(each) for each in self.configurations])


def merged(
    tables: Sequence[SweepTable], groups: Sequence[Group], configurations: Sequence[dict[str, Any]]
) -> SweepTable:
    """The tables of the groups of a stage as one."""
    numbers = [np.array(group.numbers)[table.configuration] for group, table in zip(groups, tables, strict=True)]
    return _together(tables, np.concatenate(numbers), configurations)


def _together(
    tables: Sequence[SweepTable], numbers: np.ndarray, configurations: Sequence[dict[str, Any]]
) -> SweepTable:
    """The rows of several tables by the numbers of their configurations."""
    order = np.argsort(numbers, kind="stable")
    columns = {name: np.concatenate([getattr(table, name) for table in tables])[order] for name in COLUMNS[1:]}
    histories = [history for table in tables for history in table.histories or ()]
    return dataclasses.replace(
        tables[0],
        configurations=tuple(configurations),
        configuration=numbers[order],
        **columns,
        histories=tuple(histories[i] for i in order),
    )


def as_words(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a configuration as numbers and words: hidden layers as 128x64."""
    return {name: "x".join(map(str, x)) if isinstance(x, tuple) else x for name, x in configuration.items()}
