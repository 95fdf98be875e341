"""The run of each configuration of a sweep, as `gdjax train` would run it; those that share a program together."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from gdjax.networks import NETWORKS, SHAPED
from gdjax.programs import bind
from gdjax.runs import defaults
from gdjax.runs.job import Job, first_params, step_of
from gdjax.runs.language.work import is_language
from gdjax.runs.problem import Encoded, Problem, pose
from gdjax.runs.sweeping.options import Space
from gdjax.runs.work import job_by
from gdjax.training import Step


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ in the numbers of the optimizer and the condition, or in their kind, alone.

    Args:
        encoded: their data.
        job: of the first of them.
        numbers: of their configurations in the sweep.
        jobs: of each.
    """

    encoded: Encoded
    job: Job
    numbers: list[int]
    jobs: list[Job]

    @property
    def step(self) -> Step:
        return step_of(self.job)

    @property
    def init(self) -> Callable[[jax.Array], Any]:
        """key -> the first parameters."""
        return bind(first_params, self.job.objective.model, dtype=self.job.dtype)

    @property
    def configurations(self) -> list[dict[str, Any]]:
        """The axes of `gd.sweep`."""
        return [{"optimizer": job.optimizer, "stop": job.stop} for job in self.jobs]


@dataclasses.dataclass(frozen=True, eq=False)
class Planning:
    """The table of a sweep, which is read and split once, and the runs on it."""

    problem: Problem
    space: Space

    @classmethod
    def of(cls, data: Any, space: Space) -> Planning:
        """Raises: ValueError, in one line, for a table or an option that cannot be used."""
        if is_language(data, space.base):
            raise ValueError(
                "sweeps, range tests and tournaments are of tables: a model of a text is trained by `gdjax train`"
            )
        models = space.axes.get("model", [])
        if space.base.numbers is None and isinstance(models, list) and set(models) & set(SHAPED):
            space = space._replace(base=dataclasses.replace(space.base, numbers="pixels"))  # for all of them
        return cls(pose(data, space.base), space)

    @functools.cached_property
    def _encode(self) -> Callable[..., Encoded]:
        return functools.cache(self.problem.encode)

    @functools.cached_property
    def _plans(self) -> dict[tuple[Any, ...], tuple[Encoded, Job]]:
        return {}

    def plan(self, configuration: Mapping[str, Any]) -> tuple[Encoded, Job]:
        """The run of a configuration, checked before its first step."""
        place = tuple(configuration.items())
        if place not in self._plans:
            self._plans[place] = self._plan(configuration)
        return self._plans[place]

    def _plan(self, configuration: Mapping[str, Any]) -> tuple[Encoded, Job]:
        options = self.space.options(configuration)
        defaults.check_used(options)
        rows, task = len(self.problem.rows.train), self.problem.understanding.task
        (choice,) = defaults.choices(options, rows, task, bool(self.problem.table.shape))
        encoded = self._encode(choice.numbers, options.model in NETWORKS, options.dtype)
        return encoded, job_by(options, encoded, choice)

    def groups(self, configurations: Sequence[Mapping[str, Any]]) -> list[Group]:
        """The runs of configurations, those of one kind together."""
        groups: dict[Any, Group] = {}
        for number, configuration in enumerate(configurations):
            encoded, job = self.plan(configuration)
            key = id(encoded), dataclasses.replace(job, optimizer=None, stop=None)  # type: ignore[arg-type]
            group = groups.setdefault(key, Group(encoded, job, [], []))
            group.numbers.append(number)
            group.jobs.append(job)
        return [*groups.values()]
