"""The step with which a run has gone wrong, found by running it again."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.domain import as_length
from gdjax.training._segments import segments
from gdjax.training.epoch import Epoch
from gdjax.training.feeds import LoaderFeed, SourceFeed, as_data
from gdjax.training.reading import ANY
from gdjax.training.run import Run
from gdjax.types import Batch, Metrics, RunState, Stop, TrainState


class Failure(NamedTuple):
    """The first step of a run after which its loss or its parameters are not finite; `gd.backprop.replay` explains it."""

    run_state: RunState  # before the step: the last good one, from which the run can be repeated
    batch: Batch  # as the step receives it
    mask: jax.Array | None  # of the rows that exist, if it receives one
    rows: jax.Array  # the numbers of all its rows in the data
    after: tuple[TrainState, Metrics]  # what the step makes in the program of the run: its state, and the "loss" or 0

    @property
    def state(self) -> TrainState:
        """The TrainState before the step; `state.batches` is the number of the batch in the run, from 0."""
        return self.run_state.state

    @property
    def leaves(self) -> tuple[str, ...]:
        """What is not finite after the step: the loss, and the paths of parameters and model state."""
        state, metrics = self.after
        parts = (("loss", metrics["loss"]), ("params", state.params), ("model_state", state.model_state))
        named = ((name, path, x) for name, part in parts for path, x in jax.tree_util.tree_leaves_with_path(part))
        return tuple(tree.leaf_name(name, path) for name, path, x in named if not _all_finite(x))


def find_failure(
    run: Run, run_state: RunState, data: Any, validation: Any = None, *, batches: int, every: int | None = None
) -> Failure | None:
    """The first step of a run after which its loss or its parameters are not finite; None if it is finite up to `batches`.

    The run is repeated from a good state, in the same program and so with the same bits, and then cut in halves: the steps
    between `run_state` and `batches` are taken twice.

    Args:
        run, data, validation: as for `segments`.
        run_state: the last state that is known to be finite, such as the one of a checkpoint or of `start_run`; it is kept.
            Its condition must have `stopping.non_finite()`, as in every run of `fit`, or the loss is not looked at.
        batches: batches read, since the very start, at which the run is not finite.
        every: batches between evaluations (default: the steps of `make_epoch`).

    Raises: ValueError if `run_state` is not finite itself or beyond `batches`, or if the data cannot be read twice.

    >>> step = gd.make_step(lambda w, rows: jnp.mean(jnp.log(rows - w)))
    >>> run, data = gd.make_run(gd.make_epoch(step, batch_size=1, order="sequence")), jnp.array([4.0, 1.0])
    >>> start = gd.start_run(run, gd.make_state(0.0, gd.sgd(5.0)), gd.stopping.non_finite(), data, None, steps=2)
    >>> failure = gd.find_failure(run, start, data, batches=2)
    >>> print(failure.state.batches, failure.state.params, failure.rows)
    1 1.25 [1]
    """
    data = as_data("find_failure", data, run.placement)
    if isinstance(data, LoaderFeed):
        raise ValueError("find_failure: data must be rows that can be read again, got batches that come one by one")
    batches = as_length("find_failure", "batches", batches, least=0)
    if not is_finite(run_state) or int(run_state.state.batches) > batches:
        raise ValueError(
            f"find_failure: run_state must be finite, and at most {batches} batches old, got one after "
            f"{int(run_state.state.batches)}" + ("" if is_finite(run_state) else ", which is not finite")
        )

    def advance(good: RunState, to: int) -> RunState:
        """The state after so many batches, or at the end of the run before."""
        if int(good.state.batches) == to:
            return good
        reached = good
        for reached in segments(run, good, data, validation, until=ANY, every=every, batches=to, seconds=0):
            if int(reached.state.batches) >= to:
                break
        return reached

    good, bad = run_state, advance(run_state, batches)
    if is_finite(bad):
        return None
    while (steps := int(bad.state.batches) - int(good.state.batches)) > 1:
        middle = advance(good, int(good.state.batches) + steps // 2)
        good, bad = (middle, bad) if is_finite(middle) else (good, middle)
    return Failure(good, *_batch(run.period.epoch, good.state, data), (bad.state, {"loss": _loss(bad)}))


def _batch(epoch: Epoch, state: TrainState, data: Any) -> tuple[Batch, jax.Array | None, jax.Array]:
    """What the step receives of its next batch, the rows and their mask if any, and the numbers of the rows in the data."""
    if isinstance(data, SourceFeed):
        numbers, _ = epoch.order_of(data.rows)(state.key, state.batches)
        data, _ = data.window(epoch, state.key, int(state.batches), 1)
        rows, mask = epoch.rows_of(state.key, data, state.batches)
    else:
        rows, mask = epoch.rows_of(state.key, data, state.batches)
        numbers = rows if rows.ndim == 1 else data.numbers(rows)
    batch, numbers, mask = epoch.take_rows(data, rows), numbers.ravel(), mask.ravel()
    if epoch.ragged_of(data) and epoch.step.takes_mask:
        return batch, mask, numbers
    exist = np.flatnonzero(mask)
    return jax.tree.map(lambda x: x[exist], batch), None, numbers[exist]


def is_finite(run_state: RunState) -> bool:
    """Whether a run has met no loss, and has no parameter or model state, that is not finite."""
    leaves = jax.tree.leaves((run_state.state.params, run_state.state.model_state, _loss(run_state)))
    return all(map(_all_finite, leaves))


def _all_finite(x: Any) -> bool:
    return not jnp.issubdtype(x.dtype, jnp.inexact) or bool(np.isfinite(np.asarray(x)).all())


def _loss(run_state: RunState) -> np.ndarray:
    """The mean loss with which a run has gone wrong; 0 before, also where it is NaN since all of a period was skipped."""
    loss = run_state.history["loss"]
    if int(run_state.stop) not in (Stop.NON_FINITE, Stop.DIVERGED):
        return np.zeros((), loss.dtype)
    return np.asarray(loss[(int(run_state.evaluations) - 1) % len(loss)])
