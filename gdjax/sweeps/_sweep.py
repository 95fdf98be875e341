"""`sweep`: the runs of many configurations and seeds, as lanes of few programs."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import numbers
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import stopping
from gdjax.calls import Condition, Model, as_optimizer
from gdjax.domain import as_length
from gdjax.losses import PerExample
from gdjax.sweeps.blocks import Outcome, blocks_of
from gdjax.sweeps.engine import Progress, run_locally
from gdjax.sweeps.paths import get, is_lane, replace, resolve
from gdjax.sweeps.rungs import check_rungs, run_rungs
from gdjax.sweeps.space import grid
from gdjax.sweeps.store import Nowhere, Store
from gdjax.sweeps.study import Setting, Study, evaluation_of, init_key, run_key
from gdjax.sweeps.table import SweepTable, table_of
from gdjax.sweeps.ways import Way, choose_way
from gdjax.training import Fitting, Length
from gdjax.training.feeds import Feed


@dataclasses.dataclass(frozen=True, eq=False)
class Arguments:
    """What the runs of a sweep take besides their configuration: the arguments of `fit`."""

    loss: Any
    params: Any
    optimizer: Any
    data: Any
    validation: Any
    length: Length
    batch_size: int | None
    order: str
    stop: Condition | None
    monitor: Any
    evaluate: Any
    model_state: Any
    init_scale: float = 1.0
    keep_params: bool = False

    def roots(self, paths: Sequence[str]) -> dict[str, Any]:
        """What paths lead into; a model only if one of them says so, since its numbers are in the loss too."""
        has_model = any(path.split(".")[0] == "model" for path in paths)
        found = {"optimizer": as_optimizer(self.optimizer), "stop": self.stop, "loss": self.loss}
        found["model"] = self.params if isinstance(self.params, Model) else None
        found |= {"batch_size": self.batch_size, "init_scale": self.init_scale}
        left_out = {"stop"} if self.stop is None and "stop" not in paths else set()
        return {name: x for name, x in found.items() if name not in left_out and (name != "model" or has_model)}

    def configured(self, configuration: Mapping[str, Any]) -> Arguments:
        """The arguments of a run, with the values at these whole paths, which are checked."""
        made = replace(self.roots([*configuration]), configuration)
        if "model" in made:
            if not callable(self.loss) or isinstance(self.loss, PerExample):
                raise TypeError(
                    f"sweep: with an axis of models, loss must be a function model -> loss, got {self.loss!r}"
                )
            made["loss"], made["params"] = self.loss(made["model"]), made.pop("model")
        return dataclasses.replace(self, **made)

    def initial(self, seed: int) -> tuple[Any, Any]:
        """The initial parameters of a seed, and the model state."""
        init = getattr(self.params, "init", self.params)
        return (init(init_key(seed)) if callable(init) else init), self.model_state

    def fitting(self, seed: int) -> Fitting:
        """The run of a seed, alone."""
        params = self.initial(seed)[0]
        if self.init_scale != 1.0:
            params = jax.tree.map(lambda p: (p * self.init_scale).astype(p.dtype), params)
        return Fitting(
            self.loss,
            params,
            self.optimizer,
            self.data,
            self.validation,
            self.length,
            self.batch_size,
            self.order,
            self.stop,
            self.monitor,
            self.evaluate,
            self.model_state,
            run_key(seed),
            keep_best=self.keep_params,
        )


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
            `fit`. Where numbers of the loss are axes, runs are judged without the loss's penalty unless `evaluate` is given.
        axes: {path: values}, whose product is a grid, or a list of configurations {path: value}, as
            `sweeps.random_configurations` draws them. A path leads from "optimizer", "stop", "loss", "model", "batch_size"
            or "init_scale" to an argument, such as "optimizer.inner.b1" or "loss.penalty.strength"; its end will do where it
            belongs to one number only, such as "learning_rate". Other numbers compile nothing; sizes, flags, optimizers and
            models make groups, with a program each.
        seeds: how many, from 0 on, or which.
        keep_params: whether the table has the best parameters of every run.
        memory: bytes for the lanes that run at the same time; they decide the width of a block.
        width: lanes in a block. Like the way in which they are computed, it is part of the bits in the last places.
        rungs: for successive halving (`sweeps.successive_halving`), evaluations after which only the best configurations go
            on, from where they are: with rungs r_0 < r_1 < ... and r_k at the end of a run, n r_0 / r_k of all n get to r_k.
            A run that left has the stop BUDGET.
        out: a folder, in which the sweep is kept while it runs.
        resume: whether to go on with the sweep in that folder; the result equals that of one that was never stopped.
        engine: "local", the devices of this process, or "ray": the blocks are tasks on the cluster that Ray is connected
            to, a local one if it is to none. The table is the same.
        tell: called with the `Progress` after each segment of a block.

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
    return run_all(given, configurations_of(axes), seeds_of(seeds), memory, width, rungs, out, resume, engine, tell)


def run_all(
    given: Arguments,
    configurations: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    memory: int | None = None,
    width: int | None = None,
    rungs: Sequence[int] = (),
    out: str | Path | None = None,
    resume: bool = False,
    engine: str = "local",
    tell: Callable[[Progress], None] = lambda _: None,
) -> SweepTable:
    """The sweep of these arguments."""
    if engine not in ("local", "ray"):
        raise ValueError(f"sweep: engine must be 'local' or 'ray', got {engine!r}")
    if resume and out is None:
        raise ValueError("sweep: resume needs out, the folder of the sweep to go on with, got none")
    for name, number in (("memory", memory), ("width", width)):
        as_length("sweep", name, 1 if number is None else number)
    studies = studies_of(given, configurations, seeds, memory, width)
    budgets = check_rungs(rungs, max(sum(count for count, _ in study.pieces) for study in studies)) if rungs else []
    if budgets and engine != "local":
        raise ValueError(f"sweep: rungs need engine='local', where their states are, got {engine!r}")
    identity = identity_of(given, configurations, seeds, studies) | ({"rungs": budgets} if budgets else {})
    store = Nowhere() if out is None else Store(Path(out), identity, resume)

    def judge(outcomes: list[Outcome]) -> SweepTable:
        rows = sorted(outcomes, key=lambda each: (each.configuration, seeds.index(each.seed)))
        return table_of(rows, [*map(dict, configurations)], *studies[0].monitor)

    def narrow(study: Study, number: int) -> Way:
        return way_of(study.fitting, number, len(seeds), given.stop is not None, memory, width)

    tasks = [(study, block) for study in studies for block in blocks_of(study, seeds)]
    if budgets:
        run = functools.partial(run_locally, tell=tell)
        found = run_rungs(studies, seeds, budgets, narrow, run, store, judge)
    elif engine == "ray":
        from gdjax.sweeps.cluster import run_on_cluster

        found = run_on_cluster(tasks, store, tell, studies_of, (given, configurations, seeds, memory, width))
    else:
        found = run_locally(tasks, store, tell)
    return judge(found)


def configurations_of(axes: Any) -> list[dict[str, Any]]:
    """The configurations of a grid, the last axis fastest; those of a list as they are."""
    if not isinstance(axes, Mapping) and not (isinstance(axes, Sequence) and all(isinstance(x, Mapping) for x in axes)):
        raise TypeError(f"sweep: axes must be a dict path -> values, or a list of dicts path -> value, got {axes!r}")
    found = grid(axes) if isinstance(axes, Mapping) else [dict(configuration) for configuration in axes]
    if not found:
        raise ValueError("sweep: axes must have at least one configuration, got none")
    return found


def seeds_of(seeds: Any, who: str = "sweep") -> list[int]:
    """The seeds, each once."""
    if isinstance(seeds, numbers.Integral):
        return list(range(as_length(who, "seeds", seeds)))
    found = [as_length(who, "seeds", seed, least=0) for seed in seeds]
    if not found or len(set(found)) < len(found):
        raise ValueError(f"{who}: seeds must be a number of them, or different whole numbers, got {seeds!r}")
    return found


def studies_of(
    given: Arguments,
    configurations: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    memory: int | None = None,
    width: int | None = None,
) -> list[Study]:
    """The configurations in groups, one for each program."""
    roots = given.roots([path for each in configurations for path in each])
    whole = [{resolve(path, roots): value for path, value in each.items()} for each in configurations]
    in_loss = _numbers_in_loss(roots, whole)
    base = {path: get(roots, path) for path in in_loss}
    groups: dict[Any, tuple[Arguments, list[Setting]]] = {}
    for number, configuration in enumerate(whole):
        arguments = given.configured(configuration)
        varied = {path.removeprefix("loss."): (base | configuration)[path] for path in in_loss}
        setting = _setting(number, arguments, varied)
        fixed = {path: x for path, x in configuration.items() if path not in in_loss}
        key = _structure(setting), _static(fixed)
        if key not in groups:
            groups[key] = given.configured(fixed), []
        groups[key][1].append(setting)
    return [_study(arguments, settings, seeds, memory, width) for arguments, settings in groups.values()]


def _numbers_in_loss(roots: Mapping[str, Any], configurations: Sequence[Mapping[str, Any]]) -> list[str]:
    """The paths of the numbers in the loss that are lanes of one program."""
    values: dict[str, list[Any]] = {}
    for configuration in configurations:
        for path, value in configuration.items():
            values.setdefault(path, []).append(value)
    return [path for path, each in values.items() if path.startswith("loss.") and is_lane(roots, path, each)]


def _setting(number: int, arguments: Arguments, varied: dict[str, Any]) -> Setting:
    stop = stopping.any_of(stopping.non_finite(), stopping.divergence(), arguments.stop or stopping.never())
    return Setting(
        number,
        as_optimizer(arguments.optimizer).canonicalize(on_host=True),
        stop.canonicalize(on_host=True),
        varied,
        float(arguments.init_scale),
    )


def _structure(setting: Setting) -> Any:
    """What two settings of one program have in common."""
    leaves, structure = jax.tree.flatten((setting.optimizer, setting.condition))
    return structure, tuple((np.shape(x), str(np.asarray(x).dtype)) for x in leaves)


def _static(configuration: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of a configuration that are neither lanes nor in the structure of the optimizer and the condition."""
    kept = {path: x for path, x in configuration.items() if path.split(".")[0] in ("loss", "model", "batch_size")}
    return tuple((path, x if isinstance(x, Hashable) else id(x)) for path, x in kept.items())


def _study(
    given: Arguments, settings: list[Setting], seeds: Sequence[int], memory: int | None, width: int | None
) -> Study:
    own = given.evaluate is None and given.validation is not None
    varies = bool(settings[0].loss)
    if own and varies:
        given = dataclasses.replace(given, evaluate=evaluation_of(given.loss))
    fitting = given.fitting(seeds[0])
    if isinstance(fitting.data, Feed):
        raise TypeError("sweep: data must be arrays in memory, got a Source or a loader")
    way = way_of(fitting, len(settings), len(seeds), given.stop is not None, memory, width)
    return Study(fitting, tuple(settings), given.initial, given.loss, own and varies, way, given.keep_params)


def way_of(fitting: Fitting, number: int, seeds: int, stops: bool, memory: int | None, width: int | None) -> Way:
    """The way for so many configurations and seeds."""
    parameters = sum(x.size for x in jax.tree.leaves(fitting.run_state.state.params))
    lane_bytes = sum(x.nbytes for x in jax.tree.leaves(jax.tree.map(_data, fitting.run_state)))
    return choose_way(number, seeds, parameters, lane_bytes, stops, memory, width)


def _data(x: Any) -> Any:
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x


def identity_of(
    given: Arguments, configurations: Sequence[Mapping[str, Any]], seeds: Sequence[int], studies: Sequence[Study]
) -> dict[str, Any]:
    """What a sweep that goes on must have in common with what was begun, of JSON's types."""
    digest = hashlib.sha256()
    for x in jax.tree.leaves((given.data, given.validation)):
        digest.update(np.ascontiguousarray(x).tobytes())
    texts = {
        name: repr(getattr(given, name)) for name in ("optimizer", "stop", "batch_size", "order", "monitor", "length")
    }
    return {
        **texts,
        "keep_params": given.keep_params,
        "configurations": [{path: repr(value) for path, value in each.items()} for each in configurations],
        "seeds": [*seeds],
        "data": digest.hexdigest()[:16],
        "ways": [study.way._asdict() for study in studies],
    }
