"""Losses of two classes: one number per example, with labels 0 and 1 (or shares between them), or -1 and +1."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gdjax import domain
from gdjax.calls import check_interval
from gdjax.domain import within
from gdjax.losses.arguments import alike, finite, product, widen_arguments


@widen_arguments
def binary_cross_entropy_from_logits(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    """-y log s(z) - (1 - y) log(1 - s(z)), s the logistic function; accurate for any z, 0 or inf at the infinite ones.

    Shapes: logits (...), labels (...) in {0, 1} or probabilities in [0, 1] -> (...) nats.

    >>> print(gd.losses.binary_cross_entropy_from_logits(0.0, 1))
    0.69315
    """
    return _from_logits("binary_cross_entropy_from_logits", logits, labels)


@widen_arguments
def sigmoid_binary_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    """`binary_cross_entropy_from_logits` by its name in Optax.

    Shapes: logits (...), labels (...) in {0, 1} or probabilities in [0, 1] -> (...) nats.

    >>> print(gd.sigmoid_binary_cross_entropy(0.0, 1))
    0.69315
    """
    return _from_logits("sigmoid_binary_cross_entropy", logits, labels)


def _from_logits(who: str, logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    z, y, valid = _binary(who, "logits", logits, labels)
    return valid * _cross_entropy(z, y)


def _cross_entropy(z: jax.Array, y: jax.Array) -> jax.Array:
    return product(y, jax.nn.softplus(-z)) + product(1 - y, jax.nn.softplus(z))


@widen_arguments
def binary_cross_entropy(probabilities: ArrayLike, labels: ArrayLike) -> jax.Array:
    """-y log max(p, eps) - (1 - y) log max(1 - p, eps), eps the machine epsilon of what it is computed in.

    Value and gradient are finite even at p = 0 and 1, but clipped a wrong prediction gets no gradient: to
    train, prefer logits. A p beyond 0 or 1 by rounding is taken as 0 or 1; farther away there is no loss (NaN).

    Shapes: probabilities (...) in [0, 1], labels (...) in {0, 1} or in [0, 1] -> (...) nats.

    >>> print(gd.losses.binary_cross_entropy(0.25, 1))
    1.3863
    """
    p, y, valid = _binary("binary_cross_entropy", "probabilities", probabilities, labels)
    valid *= within("binary_cross_entropy", "probabilities", p, domain.PROBABILITIES)
    eps, p = jnp.finfo(p.dtype).eps, p - jax.lax.stop_gradient(jnp.where(p > 1, p - 1, 0))
    return valid * (-y * jnp.log(jnp.maximum(p, eps)) - (1 - y) * jnp.log(jnp.maximum(1 - p, eps)))


@widen_arguments
def focal(
    logits: ArrayLike,
    labels: ArrayLike,
    gamma: float | jax.Array = 2.0,
    alpha: float | jax.Array | None = None,
) -> jax.Array:
    """Cross-entropy that plays down what is already right: alpha_y (1 - p_y)^gamma H(y, s(z)).

        p_y = y s(z) + (1 - y) (1 - s(z)),   alpha_y = y alpha + (1 - y) (1 - alpha),
        H(y, p) = -y log p - (1 - y) log(1 - p), so that for y = 1 it is -alpha (1 - s(z))^gamma log s(z)

    Args:
        gamma: >= 0; 0 is the cross-entropy.
        alpha: in [0, 1], the weight of the positive class; None weighs neither.

    Shapes: logits (...), labels (...) in {0, 1} or probabilities in [0, 1], as in Optax and Keras -> (...) nats.
    Reference: Lin et al., arXiv:1708.02002.

    >>> print(gd.losses.focal(0.0, 1, gamma=2.0))
    0.17329
    """
    return _focal("focal", logits, labels, gamma, alpha)


@widen_arguments
def sigmoid_focal_loss(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    alpha: float | jax.Array | None = None,
    gamma: float | jax.Array = 2.0,
) -> jax.Array:
    """`focal` by its name in Optax.   Shapes: logits (...), labels (...) in [0, 1] -> (...) nats.

    >>> print(gd.sigmoid_focal_loss(0.0, 1, gamma=2.0))
    0.17329
    """
    return _focal("sigmoid_focal_loss", logits, labels, gamma, alpha)


def _focal(who: str, logits: ArrayLike, labels: ArrayLike, gamma, alpha) -> jax.Array:
    check_interval(who, "gamma", gamma, "[0, inf)")
    check_interval(who, "alpha", alpha, "[0, 1]")
    z, y, valid = _binary(who, "logits", logits, labels)
    entropy = _cross_entropy(z, y)
    share = _power(y * jax.nn.sigmoid(-z) + (1 - y) * jax.nn.sigmoid(z), gamma)  # sums of what is not negative
    if alpha is not None:
        share = share * (y * alpha + (1 - y) * (1 - alpha))
    infinite = jnp.isinf(entropy)  # there the share no longer changes with z
    loss = jnp.where(infinite, product(jax.lax.stop_gradient(share), entropy), share * finite(entropy))
    return valid * loss


def _power(x: jax.Array, exponent: float | jax.Array) -> jax.Array:
    """x^exponent for x >= 0, with derivative 0 at 0."""
    positive = x > jnp.finfo(x.dtype).tiny
    return jnp.where(
        positive, jnp.power(jnp.where(positive, x, 1), exponent), jnp.where(jnp.asarray(exponent) == 0, 1, 0)
    )


@widen_arguments
def hinge(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, 1 - y s), with subgradient 0 at y s = 1; an upper bound on the zero-one loss.

    Shapes: scores (...), labels (...) in {-1, +1} -> (...).   Reference: Cortes & Vapnik 1995.

    >>> print(gd.losses.hinge(0.5, 1))
    0.5
    """
    return _hinge(*_margin("hinge", "scores", scores, "labels", labels))


@widen_arguments
def hinge_loss(predictor_outputs: ArrayLike, targets: ArrayLike) -> jax.Array:
    """`hinge` by its name in Optax.   Shapes: predictor_outputs (...), targets (...) in {-1, +1} -> (...).

    >>> print(gd.hinge_loss(0.5, 1))
    0.5
    """
    return _hinge(*_margin("hinge_loss", "predictor_outputs", predictor_outputs, "targets", targets))


def _hinge(margin: jax.Array, valid: jax.Array) -> jax.Array:
    return valid * jnp.where(margin >= 1, 0, 1 - margin)


@widen_arguments
def squared_hinge(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, 1 - y s)².   Shapes: scores (...), labels (...) in {-1, +1} -> (...).

    >>> print(gd.losses.squared_hinge(0.5, 1))
    0.25
    """
    margin, valid = _margin("squared_hinge", "scores", scores, "labels", labels)
    return valid * jnp.square(jnp.where(margin >= 1, 0, 1 - margin))


@widen_arguments
def perceptron(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, -y s), with subgradient -y at s = 0, so that zero weights learn.

    Shapes: scores (...), labels (...) in {-1, +1} -> (...).   Reference: Rosenblatt 1958.

    >>> print(gd.losses.perceptron(-2.0, 1))
    2.0
    """
    return _perceptron(*_margin("perceptron", "scores", scores, "labels", labels))


@widen_arguments
def perceptron_loss(predictor_outputs: ArrayLike, targets: ArrayLike) -> jax.Array:
    """`perceptron` by its name in Optax.   Shapes: predictor_outputs (...), targets (...) in {-1, +1} -> (...).

    >>> print(gd.losses.perceptron_loss(-2.0, 1))
    2.0
    """
    return _perceptron(*_margin("perceptron_loss", "predictor_outputs", predictor_outputs, "targets", targets))


def _perceptron(margin: jax.Array, valid: jax.Array) -> jax.Array:
    return valid * jnp.where(margin > 0, 0, -margin)


def _binary(who: str, name: str, prediction: ArrayLike, labels: ArrayLike) -> tuple[jax.Array, jax.Array, jax.Array]:
    prediction, y = alike(who, name, prediction, "labels", labels, real=True)
    return prediction, y.astype(prediction.dtype), within(who, "labels", y, domain.SHARES)


def _margin(
    who: str, scores_name: str, scores: ArrayLike, signs_name: str, signs: ArrayLike
) -> tuple[jax.Array, jax.Array]:
    scores, signs = alike(who, scores_name, scores, signs_name, signs, real=True)
    return signs.astype(scores.dtype) * scores, within(who, signs_name, signs, domain.SIGNS)
