"""The lift of a loss of one position to a sequence, in which every token has the same weight."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gdjax.measures import better_direction
from gdjax.programs import bind
from gdjax.tree import arithmetic_dtype
from gdjax.types import Padded


@dataclasses.dataclass(frozen=True)
class PerToken:
    """A loss of one position, lifted to those of one example; made by `per_token`."""

    loss: Callable[..., Any]
    ignore: int | None = None

    @property
    def better(self) -> str | None:
        return better_direction(self.loss)

    def __call__(self, prediction: Any, target: Any) -> jax.Array:
        counted = counted_predictions("per_token", prediction, target, self.ignore)
        prediction, target = jax.tree.map(jnp.asarray, (without_padding(prediction), without_padding(target)))
        some, first = jnp.any(counted), jnp.argmax(counted)

        def replace(x):  # 0 times the gradient at a label that is none would be NaN
            return jnp.where(jnp.expand_dims(counted, tuple(range(1, jnp.ndim(x)))), x, x[first])

        cut = jax.tree.map(lambda x: jnp.where(some, x, jax.lax.stop_gradient(x)), prediction)
        values = jax.vmap(self.loss)(*jax.tree.map(replace, (cut, target)))
        values = jnp.mean(values, axis=tuple(range(1, values.ndim)), dtype=arithmetic_dtype(values))
        total = jnp.sum(values, where=counted)
        return jnp.where(some, total / jnp.maximum(jnp.sum(counted), 1), 0)

    def count(self, x: Any, target: Any) -> jax.Array:
        """The number of tokens of an example (x, target) that count, () float."""
        return jnp.sum(counted_positions("per_token", x, target, self.ignore)).astype(float)


def per_token(loss: Callable[..., Any], ignore: int | None = None) -> PerToken:
    """A loss of one position -> a loss of an example's positions: the mean over those that count.

        l = sum_t c_t loss(prediction_t, target_t) / sum_t c_t

    In `per_example(supervised(model, per_token(loss)))` an example has the weight sum_t c_t, so that the mean over a batch,
    and over an epoch, is one over tokens, whatever the lengths; an example of which none counts weighs 0. Padding does not
    count, of the prediction, the target or the model's input, where one is `Padded`; nor does a target that is `ignore`.

    Args:
        loss: (prediction, target) of one position -> a number, or an array that is averaged. The same lift makes a metric of
            `supervised` of a function of one position; for metrics of all rows at once there is `gd.metrics.per_token`.
        ignore: a target that does not count, often -1 or the token of the padding.

    Shapes: prediction (time, ...), target (time, ...) -> ().   Raises: ValueError if they differ in time, or if targets with
        features are to be ignored.

    >>> loss = gd.losses.per_token(gd.squared_error, ignore=-1)
    >>> print(loss(jnp.array([1.0, 2.0, 3.0]), jnp.array([1, 4, -1])))
    2.0
    """
    return PerToken(bind(loss), ignore)


def without_padding(x: Any) -> Any:
    """The values of a `Padded`; anything else as it is."""
    return x.values if isinstance(x, Padded) else x


def counted_positions(who: str, x: Any, target: Any, ignore: int | None) -> jax.Array:
    """Which positions of an example count, (time,) bool, by the padding of an input or a prediction, and by the target."""
    values = jnp.asarray(without_padding(target))
    counted = jnp.ones(values.shape[:1], bool)
    for mask in (jnp.asarray(each.mask) for each in (x, target) if isinstance(each, Padded)):
        if mask.shape != counted.shape or not counted.ndim:
            raise ValueError(f"{who}: target must be (time, ...) as the mask {mask.shape}, got shape {values.shape}")
        counted &= mask
    if ignore is not None and values.ndim != 1:
        raise ValueError(f"{who}: of an example's targets (time,) one can be ignored, got shape {values.shape}")
    return counted if ignore is None else counted & (values != ignore)


def counted_predictions(who: str, prediction: Any, target: Any, ignore: int | None) -> jax.Array:
    """The same of an example's predictions. Raises: ValueError unless there is one for each position."""
    counted = counted_positions(who, prediction, target, ignore)
    for shape in map(jnp.shape, jax.tree.leaves(without_padding(prediction))):
        if not shape or shape[:1] != counted.shape:
            raise ValueError(
                f"{who}: prediction must be (time, ...) as the target {jnp.shape(without_padding(target))}, got {shape}"
            )
    return counted
