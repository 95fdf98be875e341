"""The losses by name, with the facts that the command line needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gdjax.losses.binary import (
    binary_cross_entropy,
    binary_cross_entropy_from_logits,
    focal,
    hinge,
    perceptron,
    squared_hinge,
)
from gdjax.losses.classes import (
    multiclass_hinge,
    multiclass_perceptron_loss,
    negative_log_likelihood,
    poly_loss_cross_entropy,
    softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels,
)
from gdjax.losses.distributions import kl_divergence
from gdjax.losses.regression import absolute_error, half_squared_error, huber, log_cosh, squared_error


def _two_classes(logits: jax.Array) -> jax.Array:
    """The probabilities of both classes, (..., 2), from logits (...)."""
    return jnp.stack([jax.nn.sigmoid(-logits), jax.nn.sigmoid(logits)], axis=-1)


class LossEntry(NamedTuple):
    """A loss, with the facts that the command line needs.

    labels: "real", "binary" {0, 1} or "sign" {-1, +1} (...), "class" int (...) or "distribution" (..., C).
    prediction: "score" (any real number, as models return), "probability" or "log_probability".
    probabilities: scores -> the corresponding probabilities (..., C); None if the loss defines none.
    """

    function: Callable[..., jax.Array]
    labels: str
    prediction: str = "score"
    probabilities: Callable[[jax.Array], jax.Array] | None = None

    @property
    def task(self) -> str:
        return "regression" if self.labels == "real" else "classification"


LOSSES: dict[str, LossEntry] = {
    "squared_error": LossEntry(squared_error, "real"),
    "half_squared_error": LossEntry(half_squared_error, "real"),
    "absolute_error": LossEntry(absolute_error, "real"),
    "huber": LossEntry(huber, "real"),
    "log_cosh": LossEntry(log_cosh, "real"),
    "binary_cross_entropy_from_logits": LossEntry(
        binary_cross_entropy_from_logits, "binary", probabilities=_two_classes
    ),
    "binary_cross_entropy": LossEntry(binary_cross_entropy, "binary", "probability"),
    "focal": LossEntry(focal, "binary"),
    "hinge": LossEntry(hinge, "sign"),
    "squared_hinge": LossEntry(squared_hinge, "sign"),
    "perceptron": LossEntry(perceptron, "sign"),
    "softmax_cross_entropy_with_integer_labels": LossEntry(
        softmax_cross_entropy_with_integer_labels, "class", probabilities=jax.nn.softmax
    ),
    "softmax_cross_entropy": LossEntry(softmax_cross_entropy, "distribution"),
    "poly_loss_cross_entropy": LossEntry(poly_loss_cross_entropy, "distribution"),
    "negative_log_likelihood": LossEntry(negative_log_likelihood, "class", "log_probability"),
    "multiclass_hinge": LossEntry(multiclass_hinge, "class"),
    "multiclass_perceptron_loss": LossEntry(multiclass_perceptron_loss, "class"),
    "kl_divergence": LossEntry(kl_divergence, "distribution", "log_probability"),
}
