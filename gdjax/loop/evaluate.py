"""Evaluation: a loss and metrics over all of the data, in chunks, with sums kept and divided once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.data import batch_indices, batches_per_epoch, num_rows, take
from gdjax.loop.epoch import weighted_mean
from gdjax.loop.step import evaluate_loss
from gdjax.losses import takes_mask
from gdjax.metrics import Metric
from gdjax.programs import bind
from gdjax.types import Metrics, Params


def make_evaluate(
    loss_fn: Any,
    metrics: Mapping[str, Metric] | tuple[tuple[str, Metric], ...] = (),
    predict: Callable[[Params, Any], Any] | None = None,
    chunk_size: int = 1024,
) -> Evaluate:
    """The evaluation of parameters on data.

    Args:
        loss_fn: a loss as for `make_step`; called without a key, so without dropout. Its metrics are averaged over rows.
        metrics: more of them, by name, that need sums of their own (r2, precision, area under the curve).
        predict: (params, x) -> predictions of a chunk; what those metrics are measured on. The data are then (x, y).
        chunk_size: rows at a time, to bound memory.

    Returns: evaluate(params, data, model_state=()) -> metrics with "loss" and "weight", equal by value.
    """
    named = tuple(metrics.items()) if isinstance(metrics, Mapping) else tuple(metrics)
    if named and predict is None:
        raise ValueError(f"make_evaluate: metrics {[name for name, _ in named]} need predict=, got None")
    return Evaluate(loss_fn, named, None if predict is None else bind(predict), chunk_size)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """What `make_evaluate` returns."""

    loss_fn: Any
    metrics: tuple[tuple[str, Metric], ...]
    predict: Callable[[Params, Any], Any] | None
    chunk_size: int

    def __call__(self, params: Params, data: Any, model_state: Any = ()) -> Metrics:
        rows = num_rows(data)
        size = min(self.chunk_size, rows)
        means = self._means(params, data, model_state, rows, size)
        return {**means, **self._measures(params, data, rows, size)}

    def _means(self, params: Params, data: Any, model_state: Any, rows: int, size: int) -> Metrics:
        def of_chunk(indices, mask=None):
            batch = take(data, indices)
            loss, (metrics, _) = evaluate_loss(self.loss_fn, params, model_state, batch, None, mask)
            return {"loss": loss, **metrics}

        indices, mask = _chunks(rows, size)
        if rows % size == 0:
            return weighted_mean(jax.lax.map(of_chunk, indices))
        if takes_mask(self.loss_fn):
            return weighted_mean(jax.lax.map(lambda chunk: of_chunk(*chunk), (indices, mask)))
        whole_chunks = jax.lax.map(of_chunk, indices[:-1])
        tail = of_chunk(indices[-1, : rows % size])
        return weighted_mean(jax.tree.map(lambda a, b: jnp.append(a, b[None], 0), whole_chunks, tail))

    def _measures(self, params: Params, data: Any, rows: int, size: int) -> Metrics:
        if self.predict is None or not self.metrics:
            return {}
        predict = self.predict

        def of_chunk(chunk):
            indices, mask = chunk
            x, y = take(data, indices)
            prediction = predict(tree.whole(params), x)
            weight = mask.astype(jnp.float32)
            return {name: metric.measure(prediction, y, weight) for name, metric in self.metrics}

        stats = jax.lax.map(of_chunk, _chunks(rows, size))
        return {name: metric.result(stats[name]) for name, metric in self.metrics}


def _chunks(rows: int, size: int) -> tuple[jax.Array, jax.Array]:
    """The rows in order as (chunks, size) indices, and which of them count."""
    number = jnp.arange(batches_per_epoch(rows, size), dtype=jnp.int32)
    return jax.vmap(lambda i: batch_indices("sequence", jax.random.key(0), i, rows, size))(number)
