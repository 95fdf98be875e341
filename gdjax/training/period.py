"""A period: steps of training and an evaluation after them, of which a part may be done at a time."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import answers, tree
from gdjax.measures import better_directions
from gdjax.meshes import on_automatic_axes, replicate, spec_of
from gdjax.training.epoch import Epoch
from gdjax.training.evaluate import Evaluate
from gdjax.training.staged import Staged
from gdjax.training.statistics import refreshed as refresh_state
from gdjax.training.step import REFRESH, evaluation_params
from gdjax.types import Metrics, Sums, TrainState

RANGE = "learning_rate_min", "learning_rate_max"  # of the steps since the last evaluation, where a schedule sets it


class Part(NamedTuple):
    """A part of a period: some of its steps, and the evaluation if they reach its end."""

    state: TrainState
    taken: jax.Array  # batches read since the last evaluation
    sums: Sums
    row: Metrics  # of the history; of no meaning before the end
    ended: jax.Array  # () bool
    judged: jax.Array  # () bool, false at the end of a period all of whose updates were skipped
    first_loss: jax.Array  # of the part's first batch, before its step
    refreshed: tuple[Any, ...]  # (the model state to evaluate with,), or () if it is that of the state


@dataclasses.dataclass(frozen=True)
class Period:
    """Training followed by an evaluation; a part of it may be done at a time."""

    epoch: Epoch
    evaluate: Evaluate | None
    refresh: int = 0  # batches

    def __call__(
        self,
        begun: tuple[TrainState, jax.Array, Sums],
        data: Any,
        validation: Any,
        steps: Any = None,
        most: Any = None,
        finite_only: Any = False,
    ) -> Part:
        """Go on with a period of so many steps, by at most `most` of them; with finite_only up to a loss that is not finite.

        With steps=None it is a whole period of the epoch's own length.
        """
        function = self._whole if steps is None else self._go_on
        return on_automatic_axes(function, lay_out_part, begun, data, validation, steps, most, finite_only)

    def start(self, state: TrainState, data: Any) -> Sums:
        """The sums of a period that has not begun."""
        return on_automatic_axes(lambda *args: self.epoch.loop(*args).summation.start(), replicate, state, data)

    def _go_on(self, begun, data, validation, steps, most, finite_only) -> Part:
        state, taken, sums = begun
        loop = self.epoch.loop(state, data)
        left = steps - taken
        state, sums, walked = loop(state, sums, left if most is None else jnp.minimum(left, most), finite_only)
        taken = taken + walked.steps
        ended = (taken >= steps) | ~walked.finite

        def measure(sums):
            return self._measure(state, loop.summation.means(sums), sums.rates, data, validation)

        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(measure, sums))
        row, judged, refreshed = jax.lax.cond(ended, measure, lambda sums: nothing, sums)
        taken, sums = tree.select(ended, (jnp.int32(0), loop.summation.start()), (taken, sums))
        return Part(state, taken, sums, row, ended, judged, walked.first_loss, refreshed)

    def _whole(self, begun, data, validation, *_: None) -> Part:
        state, taken, sums = begun
        state, metrics, walked = self.epoch.walk(state, data)
        row, judged, refreshed = self._measure(state, metrics, walked.rates, data, validation)
        return Part(state, taken, sums, row, jnp.bool_(True), judged, walked.first_loss, refreshed)

    def _measure(
        self, state: TrainState, metrics: Metrics, rates: jax.Array, data: Any, validation: Any
    ) -> tuple[Metrics, jax.Array, tuple[Any, ...]]:
        """The row of a period, whether there is anything in it to judge, and the refreshed model state, if any."""
        params, refreshed = evaluation_params(state), self._refresh(state, data)
        row = {name: value for name, value in metrics.items() if name != "weight"}
        judged, skipped = jnp.bool_(True), answers.skipped(state.opt_state)
        if skipped is not None:
            judged = metrics["weight"] > 0
            row = {name: jnp.where(judged, value, jnp.nan) for name, value in row.items()} | {"skipped": skipped}
        if self.evaluate is not None and validation is not None:
            scores = self.evaluate(params, validation, *(refreshed or (state.model_state,)))
            row |= {f"validation_{name}": value for name, value in scores.items() if name != "weight"}
        row |= rate_column(state) | dict(zip(RANGE, rates, strict=False))
        passes = state.batches / self.epoch.batches_per_epoch(data)
        row |= {"step": state.step, "epoch": passes.astype(jnp.result_type(float))}
        return row, judged, refreshed

    def _refresh(self, state: TrainState, data: Any) -> tuple[Any, ...]:
        if not self.refresh:
            return ()
        if isinstance(data, Staged):
            raise ValueError("make_run: refresh needs data that are arrays in memory, got others")
        step, key = self.epoch.step, jax.random.fold_in(jax.random.fold_in(state.key, REFRESH), state.batches)
        given = evaluation_params(state), state.model_state, data, key, step.convolutions, step.placement
        return (refresh_state(step.loss, self.refresh, self.epoch.batch_size, *given),)

    @property
    def directions(self) -> dict[str, str]:
        """Name in a history row -> better direction, for the metrics for which it is known."""
        on_validation = {} if self.evaluate is None else self.evaluate.directions
        return {
            **better_directions(self.epoch.step.loss),
            **{f"validation_{name}": direction for name, direction in on_validation.items()},
        }


def rate_column(state: TrainState) -> Metrics:
    """The history column of the next update's learning rate, NaN if leaves differ; {} if the optimizer has no rate."""
    rate = state.optimizer.learning_rate_at(state.opt_state, state.evaluation)
    return {} if rate is None else {"learning_rate": jnp.asarray(rate, jnp.result_type(float))}


def lay_out_part(begun: Any, *_: Any) -> Part:
    """The PartitionSpecs of a part on an explicit mesh: those of the given state, and the rest replicated."""
    rest: Any = [replicate()] * (len(Part._fields) - 1)
    return Part(spec_of(begun[0]), *rest)
