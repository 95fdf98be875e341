"""Runs side by side in one program: each stops by its own condition, and a run that has stopped keeps its bits.

A vmapped run would make every counter and the order of the rows a lane's own, and every lane would gather its own rows.
Here runs of one seed form a group: they share the key, hence the initial draw, the order of the rows and the draws of each
step, so that a batch is gathered once for all of them, and only what differs between runs is mapped. Everything that a run
is made of (its step, its evaluation, its condition) is what a run alone is made of.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import Condition, Optimizer
from gdjax.training.epoch import ROWS, Epoch
from gdjax.training.period import Part
from gdjax.training.run import RING, Run, first_run_state
from gdjax.training.step import first_state, scheduled_rate
from gdjax.training.sums import Summation
from gdjax.types import Params, RunState, Stop, Sums, TrainState

# Axes of a state inside the loop: lanes of a group have one key, and all running lanes have read as many batches.
IN_GROUP = TrainState(0, None, 0, 0, 0, 0, 0, None)  # type: ignore[arg-type]
OF_GROUPS = IN_GROUP._replace(key=0)  # type: ignore[arg-type]


class Start(NamedTuple):
    """Where lanes start, for groups g and lanes w of each."""

    params: Params  # leaves (g, ...)
    model_state: Any  # likewise
    key: jax.Array  # (g,)
    optimizer: Optimizer  # its numbers (g, w, ...)
    condition: Condition  # likewise
    init_scale: Any  # (g, w), a factor on the initial parameters
    stop: Any  # (g, w) int32, other than RUNNING for a lane that is there to fill up its group


class Flight(NamedTuple):
    """What the loop over steps carries."""

    state: TrainState  # one key a group, and one number of batches
    sums: Sums
    first_loss: jax.Array  # (g, w)
    finite: jax.Array  # (g, w) bool, the loss of the last step
    done: jax.Array  # steps, () int32


@dataclasses.dataclass(frozen=True)
class Lanes:
    """Runs of several configurations and seeds.

    Args:
        run: of `make_run`.
        vary: (run, numbers of a lane) -> the run with these numbers in its loss; None where lanes differ in the numbers of
            the optimizer and the condition alone.
        own_data: whether each group has data of its own, leaves (g, rows, ...), such as the folds of a cross-validation.
    """

    run: Run
    vary: Callable[[Run, Any], Run] | None = None
    own_data: bool = False

    def of(self, numbers: Any) -> Run:
        """The run of a lane."""
        return self.run if self.vary is None else self.vary(self.run, numbers)

    def start(self, start: Start, numbers: Any, data: Any, validation: Any, steps: Any) -> RunState:
        """The RunStates before the first period, leaves (g, w, ...)."""

        def first(params, model_state, key, optimizer, condition, scale, stop, numbers):
            params = jax.tree.map(lambda p: (p * scale).astype(p.dtype), params)
            run, state = self.of(numbers), first_state(params, optimizer, key, model_state)
            part = run.shapes(state, data, validation, steps)
            begun = first_run_state(run.keep_best, part.row, part.sums, RING, state, condition)
            return run.pin(begun._replace(stop=stop))

        in_group = (None, None, None, 0, 0, 0, 0, 0)
        return jax.vmap(jax.vmap(first, in_group))(*start, numbers)

    def __call__(
        self,
        lanes: RunState,
        numbers: Any,
        data: Any,
        validation: Any,
        until: Any,
        steps: Any,
        seconds: Any = None,
    ) -> RunState:
        """Run until all have stopped or done `until` evaluations.

        Args:
            lanes: leaves (g, w, ...); running ones have read equally many batches.
            numbers: a pytree of leaves (g, w), for `vary`.
            steps: batches between evaluations, () int32.
        """

        def going(lanes: RunState) -> jax.Array:
            running = lanes.stop == Stop.RUNNING
            done = jnp.max(jnp.where(running, lanes.evaluations, 0))
            return jnp.any(running) & (done < until)

        def advance(lanes: RunState) -> RunState:
            lanes = self._advance(lanes, numbers, data, validation, steps, seconds)
            return jax.vmap(jax.vmap(self.run.pin))(lanes)

        return jax.lax.while_loop(going, advance, lanes)

    def _advance(self, lanes: RunState, numbers: Any, data: Any, validation: Any, steps: Any, seconds: Any) -> RunState:
        """Go on with a period: to its end, or to the first step at which a running lane has a loss that is not finite."""
        running = lanes.stop == Stop.RUNNING
        taken, batches = (jnp.max(jnp.where(running, x, 0)) for x in (lanes.taken, lanes.state.batches))
        epoch, left = self.run.period.epoch, steps - taken
        state = lanes.state._replace(batches=batches, key=lanes.state.key[:, 0])
        flight = self._fly(epoch, state, lanes.sums, numbers, data, left, running)
        over = flight.done >= left

        def judge(last: RunState, flight: Flight, numbers: Any, data: Any) -> RunState:
            return self._judge(last, flight, numbers, over, taken + flight.done, data, validation, seconds)

        flying = Flight(IN_GROUP, *(0,) * 3, None)  # type: ignore[arg-type]
        grouped = Flight(OF_GROUPS, *(0,) * 3, None)  # type: ignore[arg-type]
        in_group = jax.vmap(judge, (0, flying, 0, None))
        return jax.vmap(in_group, (0, grouped, 0, self._by_group))(lanes, flight, numbers, data)

    @property
    def _by_group(self) -> int | None:
        """The axis of the groups in the data."""
        return 0 if self.own_data else None

    def _fly(self, epoch: Epoch, state: TrainState, sums: Sums, numbers: Any, data: Any, left: Any, running: Any):
        """Take so many steps, fewer if the loss of a running lane is not finite."""
        data_of_one = jax.tree.map(lambda x: x[0], data) if self.own_data else data
        block = max(8, ROWS // epoch.batch_size)

        def take_step(state, sums, first, numbers, data, rows, mask):
            rate = scheduled_rate(state)
            state, metrics = self.of(numbers).period.epoch._take_step(state, data, rows, mask)
            loss = metrics["loss"]
            first = jnp.where(jnp.isnan(first) & (metrics["weight"] != 0), loss.astype(first.dtype), first)
            return state, Summation(metrics, rate is not None).add(sums, metrics, rate), first, jnp.isfinite(loss)

        in_group = jax.vmap(take_step, (IN_GROUP, 0, 0, 0, None, None, None), (IN_GROUP, 0, 0, 0))
        lifted = jax.vmap(in_group, (OF_GROUPS, 0, 0, 0, self._by_group, 0, None), (OF_GROUPS, 0, 0, 0))
        order = lambda key, number: epoch.rows_of(key, data_of_one, number)  # noqa: E731
        rows_of = jax.vmap(jax.vmap(order, (0, None), (0, None)), (None, 0))

        def going(flight: Flight, last: Any) -> jax.Array:
            return (flight.done < last) & jnp.all(flight.finite | ~running)

        def take_block(flight: Flight) -> Flight:
            first, last = flight.done, jnp.minimum(flight.done + block, left)
            rows, mask = rows_of(flight.state.key, flight.state.batches + jnp.arange(block, dtype=jnp.int32))

            def take_one(flight: Flight) -> Flight:
                i = flight.done - first
                state, sums, loss, finite = lifted(*flight[:3], numbers, data, rows[i], mask[i])
                return Flight(state, sums, loss, finite, flight.done + 1)

            return jax.lax.while_loop(lambda flight: going(flight, last), take_one, flight)

        unknown = jnp.full(running.shape, jnp.nan)
        start = Flight(state, sums, unknown, jnp.ones(running.shape, bool), jnp.int32(0))
        return jax.lax.while_loop(lambda flight: going(flight, left), take_block, start)

    def _judge(self, last, flight, numbers, over, taken, data, validation, seconds) -> RunState:
        """The lane after a part of a period; one that has stopped before is as it was, whatever the others did."""
        run, running = self.of(numbers), last.stop == Stop.RUNNING
        sampled = run.period.epoch.loop(last.state, data).summation
        state = last.state._replace(
            **{
                name: tree.select(running, getattr(flight.state, name), getattr(last.state, name))
                for name in ("step", "batches", "params", "model_state", "opt_state")
            }
        )
        sums = tree.select(running, flight.sums, last.sums)
        ended = running & (over | ~flight.finite)
        row, judged, refreshed = run.period._measure(state, sampled.means(sums), sums.rates, data, validation)
        taken = jnp.where(running, jnp.where(ended, 0, taken), last.taken).astype(jnp.int32)
        sums = tree.select(ended, sampled.start(), sums)
        first_loss = jnp.where(running, flight.first_loss, jnp.nan)
        return run._judge(last, Part(state, taken, sums, row, ended, judged, first_loss, refreshed), seconds)


@dataclasses.dataclass(frozen=True)
class InTurn(Lanes):
    """The same, one run after the other in one program: for models that fill the processor alone."""

    def __call__(
        self,
        lanes: RunState,
        numbers: Any,
        data: Any,
        validation: Any,
        until: Any,
        steps: Any,
        seconds: Any = None,
    ) -> RunState:
        """As `Lanes`; a lane that has stopped costs nothing."""

        def run(lane: tuple[RunState, Any]) -> RunState:
            run_state, numbers = lane
            return self.of(numbers)(run_state, data, validation, until, seconds, steps)

        return jax.lax.map(lambda group: jax.lax.map(run, group), (lanes, numbers))
