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
from gdjax.calls import Condition, Optimizer, is_key
from gdjax.forms import Stateful, as_loss
from gdjax.losses import PerExample
from gdjax.programs import bind, compile_once
from gdjax.sweeps.paths import insert
from gdjax.sweeps.ways import Way
from gdjax.training import Evaluate, Fitting, Run, make_evaluate
from gdjax.training.lanes import InTurn, Lanes, Start
from gdjax.types import RunState, Stop

FILLER = np.int32(Stop.INTERRUPTED)  # of a lane that is there to fill up its block


class Settings(NamedTuple):
    """The numbers of some configurations, leaves (configurations, ...) on the host."""

    number: np.ndarray  # of the configurations in the sweep, int, increasing
    optimizer: Optimizer  # canonical
    condition: Condition  # likewise
    loss: dict[str, np.ndarray]  # path in the loss -> numbers
    init_scale: np.ndarray

    def take(self, places: Any) -> Settings:
        """Those at these places."""
        return jax.tree.map(lambda x: x[places], self)


def join(parts: Sequence[Settings]) -> Settings:
    """Settings of one program together, in the order of their numbers."""
    whole = jax.tree.map(lambda *each: (jnp if is_key(each[0]) else np).concatenate(each), *parts)
    return whole.take(np.argsort(whole.number))


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
    settings: Settings
    initial: Callable[[int], tuple[Any, Any]]
    loss: Any
    judged_by_loss: bool
    way: Way
    stops: bool
    keep_params: bool = False

    @functools.cached_property
    def lanes(self) -> Lanes:
        vary = bind(with_numbers, self.loss, self.judged_by_loss) if self.settings.loss else None
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
        drawn = [tree.part(self.initial(seed)) for seed in (*seeds, *(seeds[-1],) * (groups - len(seeds)))]
        over_groups = lambda x: (jnp if is_key(x) else np).broadcast_to(x, (groups, *x.shape))  # noqa: E731
        stop = np.full((groups, width), FILLER)
        stop[: len(seeds), : len(configurations)] = Stop.RUNNING
        start = Start(
            *(jax.tree.map(lambda *each: jnp.stack(each), *part) for part in zip(*drawn, strict=True)),
            key=jnp.stack([run_key(seed) for seed in (*seeds, *(seeds[-1],) * (groups - len(seeds)))]),
            optimizer=jax.tree.map(over_groups, settings.optimizer),
            condition=jax.tree.map(over_groups, settings.condition),
            init_scale=over_groups(settings.init_scale.astype(float_dtype())),
            stop=stop,
        )
        data = self.fitting.data, self.fitting.validation
        program = compile_once(bind(Lanes.start, self.lanes))
        return program(start, self.numbers(configurations, seeds), *data, self.fitting.period)

    def numbers(self, configurations: Sequence[int], seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """The numbers in the loss of these lanes, path -> (g, w)."""
        numbers, groups = self._of(configurations).loss, self.way.groups
        return {path: np.broadcast_to(x.astype(float_dtype()), (groups, len(x))) for path, x in numbers.items()}

    def _of(self, configurations: Sequence[int]) -> Settings:
        """The settings of these configurations, the last of them again until their block is full."""
        places = np.searchsorted(self.settings.number, configurations)
        return self.settings.take(np.pad(places, (0, self.way.width - len(places)), mode="edge"))


def run_key(seed: int) -> jax.Array:
    """The key of the runs of a seed: of the order of rows, and of all draws in steps."""
    return jax.random.fold_in(jax.random.key(seed), 1)


def init_key(seed: int) -> jax.Array:
    """The key of the initial parameters of a seed."""
    return jax.random.fold_in(jax.random.key(seed), 2)


def float_dtype() -> Any:
    return np.dtype(jnp.result_type(float))


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
