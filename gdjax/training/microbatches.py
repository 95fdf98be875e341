"""A large batch in small memory: what is a mean over its rows, computed on a few rows at a time.

    mean <- mean + w_j / (w_1 + ... + w_j) (x_j - mean)               x_j, w_j: value and weight of microbatch j

A scan reads the microbatches one after the other, so that the activations of only one of them exist at a time. The result is
that of the batch at once, up to rounding: each row counts by its own weight, wherever the batch is cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.data import num_rows
from gdjax.measures import check_same_shapes
from gdjax.types import Batch, Metrics, Sampled


def mean_over_microbatches(
    evaluate: Callable[..., Any],
    batch: Batch,
    mask: Any,
    model_state: Any,
    key: jax.Array,
    number: int,
    takes_mask: bool,
) -> tuple[Any, tuple[Metrics, Any]]:
    """The mean of `evaluate` over at most `number` microbatches of consecutive rows, weighted by its metric "weight".

    Args:
        evaluate: (batch, mask, model_state, key) -> (x, (metrics with "weight", model_state)); x is any tree of floats.
        model_state: that before the first microbatch; each begins with the state that the one before it has left.
        key: microbatch j receives `fold_in(key, j)`.
        takes_mask: whether a ragged last microbatch is filled up with masked rows. Otherwise it is a smaller one.

    Returns: as evaluate; the weight is the sum, and a `Sampled` metric the mean over the microbatches that measured it.
    """
    rows = num_rows(batch)
    size = -(-rows // number)
    whole, ragged = divmod(rows, size)
    program = jax.jit(evaluate)  # so that it is traced once, for its shapes and in the loop

    def shapes_of(batch: Batch, mask: Any) -> Any:
        return jax.eval_shape(program, batch, mask, model_state, key)

    def advance(carry: Any, part: Any) -> Any:
        (mean, model_state), (j, batch, mask) = carry, part
        x, (metrics, new_state) = program(batch, mask, model_state, jax.random.fold_in(key, j))
        return (add(mean, x, metrics), tree.cast_like(jax.lax.stop_gradient(new_state), model_state)), None

    if ragged and takes_mask:
        whole, mask = whole + 1, jnp.ones(rows, bool) if mask is None else jnp.asarray(mask)
        batch, mask = _lengthen(batch, whole * size), jnp.pad(mask, (0, whole * size - rows))
    batches, masks = jax.tree.map(lambda x: x[: whole * size].reshape(whole, size, *x.shape[1:]), (batch, mask))
    shapes = shapes_of(*jax.tree.map(lambda x: x[0], (batches, masks)))
    parts = np.arange(whole, dtype=np.int32), batches, masks
    carry, _ = jax.lax.scan(advance, (start(*shapes), model_state), parts)
    if ragged and not takes_mask:
        tail = jax.tree.map(lambda x: x[whole * size :], batch)
        (_, (metrics, _)), (_, (others, _)) = shapes, shapes_of(tail, None)
        check_same_shapes("make_step", metrics, others, size, ragged)
        carry, _ = advance(carry, (whole, tail, None))
    mean, model_state = carry
    x, metrics = means(mean, *shapes)
    return x, (metrics, model_state)


def _lengthen(batch: Batch, rows: int) -> Batch:
    """The batch with copies of its last row appended, up to a number of rows."""
    return jax.tree.map(lambda x: x[np.minimum(np.arange(rows), x.shape[0] - 1)], batch)


class Mean(NamedTuple):
    """The weighted mean of what has been seen so far."""

    terms: Any  # the means, at least float32; of a `Sampled` metric the sums
    weight: jax.Array  # () float, the sum of the weights
    number: jax.Array  # () int32, of microbatches


def start(x: Any, aside: tuple[Metrics, Any]) -> Mean:
    """The mean of nothing; x and (metrics, model_state) may be given by their shapes."""
    metrics, _ = aside
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, tree.arithmetic_dtype(x)), (x, _without_weight(metrics)))
    return Mean(zeros, jnp.zeros((), float), jnp.zeros((), jnp.int32))


def add(mean: Mean, x: Any, metrics: Metrics) -> Mean:
    w = jax.lax.stop_gradient(metrics["weight"]).astype(mean.weight.dtype)
    total, number = mean.weight + w, mean.number + 1
    share = tree.share_of(w, total, number)

    def term(mean: Any, x: Any) -> Any:
        if isinstance(x, Sampled):
            return Sampled(mean.value + x.value, mean.taken + x.taken)
        return tree.mix(mean, x, share)

    terms = jax.tree.map(term, mean.terms, (x, _without_weight(metrics)), is_leaf=_is_sampled)
    return Mean(terms, total, number)


def means(mean: Mean, x: Any, aside: tuple[Metrics, Any]) -> tuple[Any, Metrics]:
    """The means, floats in the dtypes of x and metrics (which may be given by their shapes)."""
    metrics, _ = aside

    def result(mean: Any, like: Any) -> Any:
        if isinstance(like, Sampled):
            return Sampled(mean.value / jnp.maximum(mean.taken, 1), jnp.minimum(mean.taken, 1))
        return mean.astype(like.dtype) if jnp.issubdtype(like.dtype, jnp.inexact) else mean

    x, named = jax.tree.map(result, mean.terms, (x, _without_weight(metrics)), is_leaf=_is_sampled)
    return x, {**named, "weight": mean.weight.astype(metrics["weight"].dtype)}


def _without_weight(metrics: Metrics) -> Metrics:
    return {name: x for name, x in metrics.items() if name != "weight"}


def _is_sampled(x: Any) -> bool:
    return isinstance(x, Sampled)
