"""The cause of a loss that is not finite.

In compiled code a loss can only return NaN for an argument outside its domain (labels of another kind, probabilities above
1). If the loss of a run or an evaluation is not finite, it is called once more, outside of any compiled program, on some
rows where it is not finite; there it raises an error that names the argument. Runs whose losses are finite pay nothing.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.data import num_rows, take
from gdjax.data.shards import Shards
from gdjax.domain import overhear
from gdjax.meshes import automatic_mesh, off_mesh
from gdjax.training.epoch import Epoch
from gdjax.training.objective import evaluate_loss
from gdjax.training.step import Step
from gdjax.types import Params, TrainState

ROWS, PARTS, STEPS = 256, 64, 100


def raise_first_cause(step: Step, epoch: Epoch, params: Params, data: Any, validation: Any, state: TrainState) -> None:
    """Raise ValueError if the loss of a run leaves its domain, at the start or in the first STEPS steps.

    Args:
        state: the first TrainState of the run.
    """
    if data is None:
        return
    taken = _whole(data) if epoch.take is take else epoch.take(data, jnp.arange(num_rows(data)))
    for rows in (taken, validation):
        if rows is not None:
            raise_cause(step.loss, params, rows, state.model_state)
    with (
        overhear() as heard
    ):  # traced, not run: does the loss have a domain that it can leave as the parameters change?
        first = jax.tree.map(lambda x: x[:1], taken)
        jax.eval_shape(lambda rows: _loss(step.loss, state.params, state.model_state, rows), first)
    if heard.names & {"probabilities", "log_probs", "log_q"}:
        _follow(dataclasses.replace(epoch, step=dataclasses.replace(step, probes=()), steps=1), data, state)


def _follow(one_step: Epoch, data: Any, state: TrainState) -> None:
    """Repeat the first STEPS steps of a run, up to the batch whose loss is not finite."""
    advance, data = jax.jit(one_step), one_step.place(data)
    for _ in range(STEPS):
        following, metrics = advance(state, data)
        if not jnp.isfinite(metrics["loss"]):
            batch = one_step.batch(state, data, state.batches)
            raise_cause(one_step.step.loss, state.params, batch, state.model_state)
            return
        state = following


def raise_cause(loss: Any, params: Params, data: Any, model_state: Any = ()) -> None:
    """Raise ValueError if the loss of these parameters is not finite on some rows because of its arguments there."""
    with automatic_mesh():
        params, model_state, data = off_mesh((tree.part(params), tree.part(model_state), _whole(data)))
        of_rows = functools.partial(_loss, loss, params, model_state)
        rows = _not_finite(of_rows, jax.tree.map(jnp.asarray, data))
        if rows is None:
            return
        with overhear():
            jax.block_until_ready(jax.jit(lambda rows: of_rows(rows))(rows))
        with overhear(), jax.disable_jit():  # a jitted function of the user may have been traced before
            jax.block_until_ready(of_rows(rows))


def _whole(data: Any) -> Any:
    """The rows that exist, also of data that are divided over devices."""
    return data.on_host() if isinstance(data, Shards) else data


def _loss(loss: Any, params: Params, model_state: Any, rows: Any) -> jax.Array:
    return evaluate_loss("fit", loss, params, model_state, rows, jax.random.key(0), None)[0]


def _not_finite(loss: Any, data: Any) -> Any:
    """At most ROWS consecutive rows where the loss is not finite; None if there are none."""
    compiled_loss = jax.jit(loss)
    while True:
        rows = num_rows(data)
        size = max(ROWS, -(-rows // PARTS))
        parts = (jax.tree.map(lambda x: x[i : i + size], data) for i in range(0, rows, size))  # noqa: B023
        data = next((part for part in parts if not jnp.isfinite(compiled_loss(part))), None)
        if data is None or size == ROWS:
            return data
