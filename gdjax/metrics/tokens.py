"""Metrics of sequences: any metric of rows as one of tokens, and bits."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gdjax.losses import softmax_cross_entropy_with_integer_labels
from gdjax.losses import tokens as losses_of_tokens
from gdjax.metrics.metric import Metric, mean
from gdjax.programs import bind


def bits(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """The cross-entropy in bits: how long the target is in the code that the prediction makes best, -log2 p.

    Shapes: prediction (..., C) logits, target (...) int in [0, C) -> (...).
    Raises: ValueError and TypeError as `softmax_cross_entropy_with_integer_labels` does.

    >>> print(gd.metrics.bits(jnp.zeros(4), 1))
    2.0
    """
    return softmax_cross_entropy_with_integer_labels(prediction, target) / math.log(2)


bits.better = "min"  # type: ignore[attr-defined]
bits_per_token: Metric = mean(bits)  # per character or byte, where that is a token


def per_token(metric: Any, ignore: int | None = None) -> Metric:
    """A metric of rows -> one of tokens: each position of each example is a row.

    Positions that do not count are those of `gd.losses.per_token`. The value is one over tokens, whatever the lengths. A
    mean is a metric for `supervised` too, beside a loss `per_token`, which weighs examples by their tokens.

    Args:
        metric: one of `gd.metrics`, or a function (prediction, target) of one position, whose mean is taken.
        ignore: a target that does not count.

    Shapes: prediction (n, time, ...), target (n, time).

    >>> scores, labels = jnp.zeros((2, 3, 4)), jnp.array([[1, 2, -1], [3, -1, -1]])
    >>> print(gd.metrics.per_token(gd.metrics.perplexity, ignore=-1)(scores, labels))
    4.0
    """
    of_rows = metric if hasattr(metric, "measure") else mean(metric)
    of_one = None if of_rows.of_one is None else losses_of_tokens.per_token(of_rows.of_one, ignore)
    return Metric(bind(_measure_tokens, of_rows, ignore), of_rows.result, of_rows.better, of_one, of_rows.counts)


def _measure_tokens(metric: Metric, ignore: int | None, prediction: Any, target: Any, weight: jax.Array) -> Any:
    counted = jax.vmap(lambda p, y: losses_of_tokens.counted_predictions("per_token", p, y, ignore))(prediction, target)
    flat = lambda x: jnp.reshape(x, (-1, *jnp.shape(x)[2:]))  # noqa: E731
    predictions, targets = (jax.tree.map(flat, losses_of_tokens.without_padding(x)) for x in (prediction, target))
    return metric.measure(predictions, targets, flat(jnp.where(counted, weight[:, None], 0)))
