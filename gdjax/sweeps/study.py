"""A study: the runs of a sweep that are one program, since they differ in numbers alone."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.calls import Condition, Optimizer
from gdjax.forms import Stateful, as_loss
from gdjax.losses import PerExample
from gdjax.programs import bind, compile_once
from gdjax.sweeps.paths import insert
from gdjax.sweeps.ways import Way
from gdjax.training import Evaluate, Fitting, Run, make_evaluate
from gdjax.training.lanes import InTurn, Lanes, Start
from gdjax.types import RunState, Stop

FILLER = np.int32(Stop.INTERRUPTED)  # of a lane that is there to fill up its block


class Setting(NamedTuple):
    """The numbers of one configuration."""

    number: int  # of the configuration in the sweep
    optimizer: Optimizer  # canonical, on the host
    condition: Condition  # likewise
    loss: dict[str, float]  # path in the loss -> number
    init_scale: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """Configurations whose programs are the same.

    Args:
        fitting: the prepared arguments of one of its runs.
        settings: of each configuration.
        initial: seed -> (initial parameters, model state).
        loss: as it was given; its numbers are those of a setting.
        judged_by_loss: whether the evaluation is `evaluation_of` the loss.
        way: how its lanes are computed.
        stops: whether a condition may stop a run before its end.
    """

    fitting: Fitting
    settings: tuple[Setting, ...]
    initial: Callable[[int], tuple[Any, Any]]
    loss: Any
    judged_by_loss: bool
    way: Way
    stops: bool
    keep_params: bool = False

    @functools.cached_property
    def lanes(self) -> Lanes:
        vary = bind(with_numbers, self.loss, self.judged_by_loss) if self.settings[0].loss else None
        return (InTurn if self.way.kind == "in turn" else Lanes)(self.fitting.run, vary)

    @property
    def program(self) -> Callable[..., RunState]:
        """(states, numbers, until, steps) -> states, compiled once."""
        compiled, data = compile_once(self.lanes, donate=(0,)), (self.fitting.data, self.fitting.validation)
        return lambda states, numbers, until, steps: jax.block_until_ready(
            compiled(states, numbers, *data, np.int32(until), np.int32(steps))
        )

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """(evaluations, batches before each) of the whole run."""
        return self.fitting.length.pieces(0, self.fitting.per_epoch)

    @property
    def monitor(self) -> tuple[str, str]:
        """The name of the monitored metric, and its better direction."""
        return self.fitting.run.monitor_name(self._row)

    @property
    def sign(self) -> float:
        """The factor of the monitored metric, of which less is better."""
        return self.fitting.run.sign(self._row)

    @functools.cached_property
    def _row(self) -> Any:
        states = self.fitting.run_state
        return {name: jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for name, x in states.history.items()}

    @property
    def kept_structures(self) -> Any:
        """Of the parameters that are kept and of their model state, None if none are."""
        best = self.fitting.run_state.best
        return tuple(map(jax.tree.structure, best)) if best else None

    def start(self, configurations: Sequence[int], seeds: Sequence[int]) -> RunState:
        """The RunStates of these lanes before the first step, leaves (g, w, ...)."""
        settings, groups, width = self._of(configurations), self.way.groups, self.way.width
        shape, missing = (groups, width), width - len(settings)
        filled = [*settings, *settings[-1:] * missing]
        drawn = [tree.part(self.initial(seed)) for seed in (*seeds, *(seeds[-1],) * (groups - len(seeds)))]
        over_groups = lambda x: np.broadcast_to(x, (groups, *np.shape(x)))  # noqa: E731
        stop = np.full(shape, FILLER)
        stop[: len(seeds), : len(settings)] = Stop.RUNNING
        start = Start(
            *(jax.tree.map(lambda *each: jnp.stack(each), *part) for part in zip(*drawn, strict=True)),
            key=jnp.stack([run_key(seed) for seed in (*seeds, *(seeds[-1],) * (groups - len(seeds)))]),
            optimizer=jax.tree.map(over_groups, stack([each.optimizer for each in filled])),
            condition=jax.tree.map(over_groups, stack([each.condition for each in filled])),
            init_scale=over_groups(np.array([each.init_scale for each in filled], float_dtype())),
            stop=stop,
        )
        data = self.fitting.data, self.fitting.validation
        program = compile_once(bind(Lanes.start, self.lanes))
        return program(start, self.numbers(configurations, seeds), *data, self.fitting.period)

    def numbers(self, configurations: Sequence[int], seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """The numbers in the loss of these lanes, path -> (g, w)."""
        settings, (groups, width) = self._of(configurations), self.way[1:3]
        filled = [*settings, *settings[-1:] * (width - len(settings))]
        return {
            path: np.broadcast_to(np.array([each.loss[path] for each in filled], float_dtype()), (groups, width))
            for path in settings[0].loss
        }

    def _of(self, configurations: Sequence[int]) -> list[Setting]:
        by_number = {setting.number: setting for setting in self.settings}
        return [by_number[number] for number in configurations]


def run_key(seed: int) -> jax.Array:
    """The key of the runs of a seed: of the order of rows, and of all draws in steps."""
    return jax.random.fold_in(jax.random.key(seed), 1)


def init_key(seed: int) -> jax.Array:
    """The key of the initial parameters of a seed."""
    return jax.random.fold_in(jax.random.key(seed), 2)


def float_dtype() -> Any:
    return np.dtype(jnp.result_type(float))


def stack(nodes: Sequence[Any]) -> Any:
    """Nodes of one structure as one, whose numbers have a leading axis."""
    return jax.tree.map(lambda *each: np.stack([np.asarray(x) for x in each]), *nodes)


def evaluation_of(loss: Any) -> Evaluate:
    """The evaluation of a loss whose numbers vary: without its penalty, so that configurations are judged by one measure."""
    lifted = loss.function if isinstance(loss, Stateful) else loss
    if not isinstance(lifted, PerExample):
        return make_evaluate(loss)
    bare = dataclasses.replace(lifted, penalty=None)
    return make_evaluate(Stateful(bare) if isinstance(loss, Stateful) else bare)


def with_numbers(loss: Any, judged_by_loss: bool, run: Run, numbers: Mapping[str, Any]) -> Run:
    """The run with these numbers in its loss, and in the evaluation where that is the loss's own."""
    loss, period = insert({"loss": loss}, {f"loss.{path}": x for path, x in numbers.items()})["loss"], run.period
    step = dataclasses.replace(period.epoch.step, loss=as_loss("sweep", loss))
    evaluate = evaluation_of(loss) if judged_by_loss and period.evaluate is not None else period.evaluate
    epoch = dataclasses.replace(period.epoch, step=step)
    return dataclasses.replace(run, period=dataclasses.replace(period, epoch=epoch, evaluate=evaluate))
