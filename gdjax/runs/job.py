"""A training run of the command line: planned and checked before its first step, then run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from gdjax import processes, stopping
from gdjax.backprop import Flow, Watch, watch
from gdjax.calls import Condition, Model, Optimizer
from gdjax.data import num_rows
from gdjax.optimizers.request import OptimizerRequest
from gdjax.programs import bind
from gdjax.sweeps.own_data import run_each
from gdjax.sweeps.paths import replace, resolve
from gdjax.sweeps.space import parse_axis
from gdjax.tasks import Objective
from gdjax.training import Fitting, Length, Placement, Result, Step, evaluation_params, make_step
from gdjax.training import placement as make_placement
from gdjax.types import RunState, Stop

SEPARATED = 0.01  # loss, below which classes count as separated by a line
LARGEST = 10**11  # maximal number of parameters


class Rows(Protocol):
    """What a run is trained and judged on while it goes on: any pytree of arrays that share their leading axis."""

    @property
    def train(self) -> Any: ...

    @property
    def validation(self) -> Any: ...


@dataclasses.dataclass(frozen=True)
class Settings:
    """The options of `gdjax train` besides those of the data and the model."""

    optimizer: OptimizerRequest
    batch_size: int
    epochs: float | None  # or steps, and one of them
    steps: int | None = None
    every: int | None = None  # steps between evaluations; one epoch if not given
    patience: int | None = 20  # None: the run goes on to its end
    min_delta: float = 0.0
    seed: int = 0
    dtype: str = "float32"
    flow: bool = False
    deterministic: bool = False
    compute_dtype: str | None = None
    microbatches: int = 1
    remat: bool = False
    order: str = "shuffle"
    set: tuple[str, ...] = ()  # such as "optimizer.inner.b1=0.8"
    to_minimum: bool = False  # see Job


@dataclasses.dataclass(frozen=True)
class Job:
    """An objective with its optimizer, length, stopping condition and metric."""

    objective: Objective
    optimizer: Optimizer
    stop: Condition
    batch_size: int
    epochs: float | None
    steps: int | None
    every: int | None
    seed: int
    dtype: str
    watch: Watch | None = None
    deterministic: bool = False  # whether a GPU adds in a fixed order
    compute_dtype: str | None = None  # as microbatches and remat: of `make_step`
    microbatches: int = 1
    remat: bool = False
    order: str = "shuffle"  # of the rows, as for `make_epoch`
    to_minimum: bool = False  # whether the minimum on the training rows is wanted, and no epoch is chosen

    def evaluations(self, rows: int) -> int:
        """The number of evaluations if no condition stops the run."""
        return sum(number for number, _ in self.length.pieces(0, -(-rows // self.batch_size)))

    @property
    def length(self) -> Length:
        return Length(self.epochs, self.steps, self.every)

    @property
    def said(self) -> dict[str, Any]:
        """What a configuration says of the run, whatever its data are."""
        same = (
            "batch_size",
            "epochs",
            "steps",
            "every",
            "seed",
            "dtype",
            "deterministic",
            "compute_dtype",
            "microbatches",
        )
        return {
            "model": repr(self.objective.model),
            "loss": self.objective.loss_name,
            "optimizer": repr(self.optimizer),
            "stop": repr(self.stop),
            **{name: getattr(self, name) for name in (*same, "remat", "order")},
            "flow": self.watch is not None,
        }

    def flow(self, result: Result) -> Flow | None:
        """The flow of the gradient along the run, if it was measured."""
        return self.watch.read(result.history) if self.watch and len(result.history["loss"]) else None


def check_length(settings: Any) -> None:
    """Raise ValueError if the length of a run, or the steps between evaluations, cannot be."""
    for name in ("epochs", "steps", "every"):
        value = getattr(settings, name)
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"`{name}` must be above 0{' and finite' if value > 0 else ''}, got {value:g}")
    if settings.epochs is not None and settings.steps is not None:
        raise ValueError("give `epochs` or `steps`, not both")


def plan(objective: Objective, parts: Rows, settings: Settings) -> Job:
    """Choose and check everything before the first step.

    Raises: ValueError with a message of one line that names an argument in backquotes.
    """
    rows, batch_size = num_rows(parts.train), settings.batch_size
    if not 1 <= batch_size <= rows:
        raise ValueError(f"`batch_size` must be between 1 and the {rows} training rows, got {batch_size}")
    if settings.microbatches < 1:
        raise ValueError(f"`microbatches` must be at least 1, got {settings.microbatches}")
    check_length(settings)
    per_epoch = -(-rows // batch_size)
    optimizer = settings.optimizer.build(Length(settings.epochs, settings.steps).batches(per_epoch), per_epoch)
    optimizer, stop = _with_numbers(optimizer, _stop(settings), settings.set)
    params = _parameters(objective.model, settings.dtype)
    if (total := sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))) > LARGEST:
        raise ValueError(f"the model must have at most {LARGEST:.0e} parameters, got {total:.1e}")
    jax.eval_shape(optimizer.init, params)  # raises for a pattern that matches no parameter
    return Job(
        objective=objective,
        optimizer=optimizer,
        stop=stop,
        batch_size=batch_size,
        epochs=settings.epochs,
        steps=settings.steps,
        every=settings.every,
        seed=settings.seed,
        dtype=settings.dtype,
        watch=_watch(objective, parts, params, batch_size, settings.every) if settings.flow else None,
        deterministic=settings.deterministic,
        compute_dtype=settings.compute_dtype,
        microbatches=settings.microbatches,
        remat=settings.remat,
        order=settings.order,
        to_minimum=settings.to_minimum,
    )


def _stop(settings: Settings) -> Condition:
    if settings.patience is None:
        return stopping.never()
    return stopping.patience(settings.patience, settings.min_delta)


def _with_numbers(optimizer: Optimizer, stop: Condition, said: Sequence[str]) -> tuple[Optimizer, Condition]:
    """The two with other numbers at the paths of texts such as "optimizer.inner.b1=0.8"."""
    roots = {"optimizer": optimizer, "stop": stop}
    values = {}
    for text in said:
        path, _, number = text.partition("=")
        found = parse_axis("`set`", number) if number else []
        if not isinstance(found, list) or len(found) != 1 or isinstance(found[0], str):
            raise ValueError(f"`set` must be a path and a number, such as optimizer.inner.b1=0.8, got {text!r}")
        values[resolve(path.strip(), roots, "`set`")] = found[0]
    changed = replace(roots, values)
    return changed["optimizer"], changed["stop"]


def _watch(objective: Objective, parts: Rows, params: Any, batch_size: int, every: int | None) -> Watch:
    """A probe of the first step in each period between two evaluations."""
    batch = jax.tree.map(lambda x: x[:batch_size], parts.train)
    every, model_state = every or -(-num_rows(parts.train) // batch_size), objective.model.init_state()
    return watch(objective.loss, params, batch, every=every, model_state=model_state)


def _parameters(model: Model, dtype: str) -> Any:
    """The shapes and dtypes of the parameters."""
    return jax.eval_shape(lambda key: first_params(model, key, dtype), jax.random.key(0))


def first_params(model: Model, key: jax.Array, dtype: str) -> Any:
    """The parameters that a run starts from."""
    return jax.tree.map(lambda p: p.astype(dtype), model.init(key))


def step_of(job: Job) -> Step:
    """The step of a run."""
    return make_step(
        job.objective.loss,
        probes=() if job.watch is None else job.watch,
        microbatches=job.microbatches,
        remat=job.remat,
        compute_dtype=job.compute_dtype,
    )


def prepare(job: Job, parts: Rows, placement: Placement | None = None) -> Fitting:
    """The run before its first step; its `segments()` are the loop, and `result()` is the result."""
    if placement is None and processes.count() > 1:  # process 0 alone trains it
        placement = make_placement(Mesh(np.array(jax.local_devices()[:1]), ("data",)))
    base = jax.random.key(job.seed)
    init, key = bind(first_params, job.objective.model, dtype=job.dtype), jax.random.fold_in(base, 2)
    return Fitting(
        step_of(job),
        init(key) if placement is None or placement.params is None else placement.init(init, key),
        job.optimizer,
        parts.train,
        parts.validation,
        job.length,
        job.batch_size,
        job.order,
        stop=job.stop,
        evaluate=job.objective.evaluate,
        model_state=job.objective.model.init_state(),
        key=jax.random.fold_in(base, 1),
        placement=placement,
    )


def run_through(job: Job, parts: Rows) -> Result:
    """The result of a run that nobody records.   Raises: KeyboardInterrupt if it was interrupted."""
    fitting = prepare(job, parts)
    for _ in fitting.segments():
        pass
    if int(fitting.run_state.stop) == Stop.INTERRUPTED:
        raise KeyboardInterrupt
    return result_of(job, fitting)


def run_side_by_side(jobs: Sequence[Job], parts: Sequence[Rows]) -> list[Result]:
    """The results of runs that differ in their rows.   Raises: KeyboardInterrupt if they were interrupted."""
    fittings = [prepare(*each) for each in zip(jobs, parts, strict=True)]
    run_each(fittings)
    return [result_of(*each) for each in zip(jobs, fittings, strict=True)]


def result_of(job: Job, fitting: Fitting) -> Result:
    """The result of a run; of one that looks for a minimum with the last parameters, which are the nearest to it. Where it
    was spread over devices, its parameters are brought together in each process, all of which must call it.

    Where a line separates the classes the loss has no minimum, and the validation rows choose as always.
    """
    result, place = fitting.result(), fitting.run.placement
    separated = job.objective.metric == "accuracy" and float(result.history["loss"][-1:].sum()) < SEPARATED
    if job.to_minimum and not separated and not went_wrong(result.stop.name):
        last, run_state = result.last, result.run_state._replace(best=())
        kept = {"params": evaluation_params(last), "model_state": last.model_state}
        result = dataclasses.replace(result, run_state=run_state, **kept)
    if place is None:
        return result
    return dataclasses.replace(result, **place.gather({"params": result.params, "model_state": result.model_state}))


def progress(run_state: RunState, metric: str) -> tuple[int, dict[str, float]]:
    """The number of evaluations done, and the latest loss and metric, if there was one."""
    done = int(run_state.evaluations)
    if not done:
        return 0, {}
    last = {name: float(values[done - 1]) for name, values in run_state.history.items() if values.ndim == 1}
    shown = {"loss": "loss", "validation": "validation_loss", metric: f"validation_{metric}"}
    return done, {name: last[stored] for name, stored in shown.items()}


def went_wrong(stop: str) -> bool:
    """Whether a run that ended so is a bad one."""
    return stop in (Stop.NON_FINITE.name, Stop.DIVERGED.name)
