"""`sweep`: the runs of many configurations and seeds, as lanes of few programs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gdjax.calls import Condition
from gdjax.domain import as_length
from gdjax.sweeps.arguments import Arguments, configurations_of, draws, seeds_of
from gdjax.sweeps.blocks import Outcome, blocks_of
from gdjax.sweeps.engine import Progress, run_locally
from gdjax.sweeps.grouping import studies_of, way_of, whole_paths
from gdjax.sweeps.identity import identity_of
from gdjax.sweeps.rungs import check_rungs, run_rungs
from gdjax.sweeps.store import Nowhere, Store
from gdjax.sweeps.study import Study
from gdjax.sweeps.table import SweepTable, table_of
from gdjax.sweeps.ways import Way
from gdjax.training import Length
from gdjax.training.remarks import not_finite
from gdjax.types import Stop


def sweep(
    loss: Any,
    params: Any,
    optimizer: Any,
    data: Any,
    validation: Any = None,
    *,
    axes: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    seeds: int | Sequence[int] = 1,
    epochs: float | None = None,
    steps: int | None = None,
    every: int | None = None,
    batch_size: int | None = None,
    order: str = "shuffle",
    stop: Condition | None = None,
    monitor: str | tuple[str, str] = "loss",
    evaluate: Any = None,
    model_state: Any = (),
    keep_params: bool = False,
    memory: int | None = None,
    width: int | None = None,
    rungs: Sequence[int] = (),
    out: str | Path | None = None,
    resume: bool = False,
    allow_versions: bool = False,
    engine: str = "local",
    tell: Callable[[Progress], None] = lambda _: None,
) -> SweepTable:
    """Train with every configuration and every seed, as lanes of few compiled programs.

    A lane is the run that `fit` makes of its configuration and seed: it stops by its own condition, and keeps its bits from
    then on. Lanes of one seed share initial parameters, the order of rows and all draws, so that configurations are compared
    on common random numbers; other seeds have others, so that an interval over seeds holds the noise of the batches too.

        params = init(fold_in(key(seed), 2)) init_scale,   key of the run = fold_in(key(seed), 1)

    Args:
        loss: as for `fit`; with an axis "model" a function model -> loss.
        params: a model, a function key -> parameters, or parameters, with which the runs of all seeds begin.
        optimizer, data, validation, epochs, steps, every, batch_size, order, stop, monitor, evaluate, model_state: as for
            `fit` (a model given as params has its own initial state). Where numbers of the loss are axes, runs are judged
            without the loss's penalty unless `evaluate` is given.
        axes: {path: values}, whose product is a grid, or a list of configurations {path: value}, as
            `sweeps.random_configurations` draws them. A path leads from "optimizer", "stop", "loss", "model", "batch_size"
            or "init_scale" to an argument, such as "optimizer.inner.b1" or "loss.penalty.strength"; its end will do where it
            belongs to one number only, such as "learning_rate". Other numbers compile nothing; sizes, flags, optimizers and
            models make groups, with a program each.
        seeds: how many, from 0 on, or which.
        keep_params: whether the table has the best parameters of every run, and their model states.
        memory: bytes for the lanes that run at the same time; they decide the width of a block.
        width: lanes in a block, at most. Like the way in which they are computed, it is part of the bits in the last places.
        rungs: for successive halving (`sweeps.successive_halving`), evaluations after which only the best configurations go
            on, from where they are: with rungs r_0 < r_1 < ... and r_k at the end of a run, n r_0 / r_k of all n get to r_k.
            A run that left has the stop BUDGET.
        out: a folder, in which the sweep is kept while it runs.
        resume: whether to go on with the sweep in that folder; the result equals that of one that was never stopped.
        allow_versions: go on under other versions, on another platform or number of cores, although the bits may differ.
        engine: "local", the devices of this process, or "ray": the blocks are tasks on the cluster that Ray is connected
            to, a local one if it is to none. The table is the same.
        tell: called with the `Progress` after each segment of a block, by one thread at a time.

    Raises: ValueError, in one sentence, for a path, a value or seeds that cannot be used; TypeError for arguments of another
        kind; CheckpointError for a folder of another sweep. KeyboardInterrupt after Ctrl-C, when `out` has what was found.

    >>> loss, axes = lambda w, rows: jnp.mean((w - rows) ** 2), {"learning_rate": [0.01, 0.1]}
    >>> table = gd.sweep(loss, 0.0, gd.sgd(0.1), jnp.arange(8.0), axes=axes, epochs=3, batch_size=4)
    >>> print(table.best(), len(table))
    {'learning_rate': 0.1} 2
    """
    given = Arguments(
        loss,
        params,
        optimizer,
        data,
        validation,
        Length(epochs, steps, every),
        batch_size,
        order,
        stop,
        monitor,
        evaluate,
        model_state,
        keep_params=keep_params,
    )
    manner = Manner(memory, width, tuple(np.atleast_1d(rungs).tolist()), out, resume, allow_versions, engine, tell)
    return run_all(given, configurations_of(axes), seeds_of(seeds), manner)


@dataclasses.dataclass(frozen=True)
class Manner:
    """How a sweep is run, whatever its runs are; the arguments of `sweep`."""

    memory: int | None = None
    width: int | None = None
    rungs: tuple[int, ...] = ()
    out: str | Path | None = None
    resume: bool = False
    allow_versions: bool = False
    engine: str = "local"
    tell: Callable[[Progress], None] = lambda _: None

    def __post_init__(self) -> None:
        if self.engine not in ("local", "ray"):
            raise ValueError(f"sweep: engine must be 'local' or 'ray', got {self.engine!r}")
        if self.rungs and self.engine != "local":
            raise ValueError(f"sweep: rungs need engine='local', where their states are, got {self.engine!r}")
        if self.resume and self.out is None:
            raise ValueError("sweep: resume needs out, the folder of the sweep to go on with, got none")
        for name, number in (("memory", self.memory), ("width", self.width)):
            as_length("sweep", name, 1 if number is None else number)


def run_all(
    given: Arguments,
    configurations: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    manner: Manner = Manner(),
) -> SweepTable:
    """The sweep of these arguments."""
    sizes = manner.memory, manner.width
    studies = studies_of(given, configurations, seeds, *sizes)
    longest = max(sum(count for count, _ in study.pieces) for study in studies)
    budgets = check_rungs(manner.rungs, longest) if manner.rungs else []
    store = Nowhere()
    if manner.out is not None:
        identity = identity_of(given, configurations, seeds, studies, budgets)
        store = Store(Path(manner.out), identity, manner.resume, manner.allow_versions)
        studies = [dataclasses.replace(study, way=way) for study, way in zip(studies, store.ways, strict=True)]
    place = {seed: i for i, seed in enumerate(seeds)}
    told, remarks = as_runs(given, configurations), _remarks(given, seeds, studies)

    def judge(outcomes: list[Outcome]) -> SweepTable:
        rows = sorted(outcomes, key=lambda each: (each.configuration, place[each.seed]))
        table = table_of(rows, told, *studies[0].monitor, remarks)
        stop = Stop.NON_FINITE if (table.stop == Stop.NON_FINITE.name).all() else Stop.BUDGET
        spoiled = not_finite(stop, data=given.data, validation=given.validation)
        return dataclasses.replace(table, remarks=(*spoiled, *remarks))

    def narrow(study: Study, number: int) -> Way:
        return way_of(study.fitting, number, len(seeds), study.stops, *sizes)

    tasks = [(study, block) for study in studies for block in blocks_of(study, seeds)]
    with store:
        if budgets:
            run = functools.partial(run_locally, tell=manner.tell)
            return judge(run_rungs(studies, seeds, budgets, narrow, run, store, judge))
        if manner.engine == "ray":
            from gdjax.sweeps.cluster import run_on_cluster

            shipped = given, configurations, seeds, *sizes
            return judge(run_on_cluster(tasks, store, manner.tell, studies_of, shipped))
        return judge(run_locally(tasks, store, manner.tell))


def _remarks(given: Arguments, seeds: Sequence[int], studies: Sequence[Study]) -> tuple[str, ...]:
    """On the data, as `fit` makes them, and on seeds that make no difference."""
    found = tuple(dict.fromkeys(remark for study in studies for remark in study.fitting.remarks))
    if len(seeds) == 1 or given.order != "sequence" or draws(given.params):
        return found
    return (*found, "the seeds share parameters and the order of rows: their runs differ by draws in the loss alone")


def as_runs(given: Arguments, configurations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Configurations whose objects have the numbers with which they were run: an axis may lead into another."""

    def as_run(configuration: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
        nodes = {"optimizer", "stop"} & configuration.keys()
        if not nodes or nodes == configuration.keys():
            return dict(configuration)
        made = given.configured(whole)
        return {path: getattr(made, path) if path in nodes else x for path, x in configuration.items()}

    return list(map(as_run, configurations, whole_paths(given, configurations)))
