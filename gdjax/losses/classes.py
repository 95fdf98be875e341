"""Losses of one example.

Leading axes are free: one example and a batch both work, elementwise. Shapes must agree exactly, else ValueError: (n,)
against (n, 1) would broadcast to (n, n). What a loss is not defined for (a class outside [0, C), a label -1 where 0 and 1
are meant, a probability of 1.2) is a ValueError where it is concrete, and in traced code a NaN in value and gradient.
Classes must be integers (TypeError). Values and derivatives, by every argument, are the limits where there are any: of an
infinite logit too.

A loss has the dtype of its arguments and is computed in float32 at least. Where the derivative by a probability is
infinite it is the largest number of the dtype, so that 0 times it is 0.

Differs from Optax: its hinge_loss, huber_loss, log_cosh and sigmoid_binary_cross_entropy broadcast in
silence, a class of -1 reads the last one, and impossible classes (p = 0, log q = -inf) give NaN.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gdjax.calls.node import check_interval, is_concrete
from gdjax.data import as_arrays
from gdjax.losses import domain
from gdjax.losses.domain import whole_numbers, within
from gdjax.tree import abs_sq, absolute, widen


def _widened(loss: Callable) -> Callable:
    """The loss computed in float32 at least, its value in the dtype of the arguments: no square overflows half way."""

    @functools.wraps(loss)
    def computed(a: ArrayLike, b: ArrayLike, *args: Any, **keywords: Any) -> jax.Array:
        wide_a, wide_b = widen(a), widen(b)
        value = loss(wide_a, wide_b, *args, **keywords)
        if wide_a is a and wide_b is b:
            return value
        floats = [jnp.result_type(x) for x in (a, b) if jnp.issubdtype(jnp.result_type(x), jnp.inexact)]
        return value.astype(jnp.finfo(jnp.result_type(*floats)).dtype)

    return computed


# Regression. A vector-valued output (..., D) keeps its axis; `supervised` takes the mean over it. Complex numbers
# are taken too: |e| is then the modulus.


@_widened
def squared_error(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """|prediction - target|².   Shapes: (...), (...) -> (...), real."""
    return abs_sq(_error("squared_error", prediction, target))


@_widened
def half_squared_error(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """|prediction - target|² / 2, whose gradient is the error itself.   Shapes: (...), (...) -> (...), real."""
    return abs_sq(_error("half_squared_error", prediction, target)) / 2


@_widened
def absolute_error(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """|prediction - target|, with subgradient 0 at 0.   Shapes: (...), (...) -> (...), real."""
    return absolute(_error("absolute_error", prediction, target))


@_widened
def huber(prediction: ArrayLike, target: ArrayLike, delta: float | jax.Array = 1.0) -> jax.Array:
    """Squared near 0, linear beyond delta: its gradient is the error e clipped to [-delta, delta].

        |e|²/2 where |e| <= delta,   delta (|e| - delta/2) elsewhere,   e = prediction - target

    Args:
        delta: > 0, target units.

    Shapes: (...), (...) -> (...), real.   Reference: Huber 1964, Ann. Math. Statist. 35.
    """
    check_interval("huber", "delta", delta, "(0, inf)")
    error = _error("huber", prediction, target)
    size = absolute(error)
    near = size <= delta
    return jnp.where(near, abs_sq(jnp.where(near, error, 0)) / 2, delta * (size - delta / 2))


@_widened
def log_cosh(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """log cosh |e|, e = prediction - target: |e|²/2 near 0, |e| - log 2 far away, smooth between.

    Shapes: (...), (...) -> (...), real.   Differs from: optax.log_cosh, in float32 off by 7 % at e = 1e-3.
    """
    error = _error("log_cosh", prediction, target)
    error = absolute(error) if jnp.iscomplexobj(error) else error
    near = jnp.log1p(2 * jnp.sinh(jnp.clip(error, -1, 1) / 2) ** 2)  # cosh e = 1 + 2 sinh²(e/2)
    far = jnp.abs(error) + jnp.log1p(jnp.exp(-2 * jnp.abs(error))) - jnp.log(2)
    return jnp.where(jnp.abs(error) < 1, near, far)


# Two classes, one number per example.


@_widened
def binary_cross_entropy_from_logits(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    """-y log s(z) - (1 - y) log(1 - s(z)), s the logistic function; accurate for any z, 0 or inf at the infinite ones.

    Shapes: logits (...), labels (...) in {0, 1} or probabilities in [0, 1] -> (...) nats.
    """
    z, y, valid = _binary("binary_cross_entropy_from_logits", "logits", logits, labels)
    return valid * _cross_entropy(z, y)


def _cross_entropy(z: jax.Array, y: jax.Array) -> jax.Array:
    return _product(y, jax.nn.softplus(-z)) + _product(1 - y, jax.nn.softplus(z))


@_widened
def binary_cross_entropy(probabilities: ArrayLike, labels: ArrayLike) -> jax.Array:
    """-y log max(p, eps) - (1 - y) log max(1 - p, eps), eps the machine epsilon of what it is computed in.

    Value and gradient are finite even at p = 0 and 1, but clipped a wrong prediction gets no gradient: to
    train, prefer logits. A p beyond 0 or 1 by rounding is taken as 0 or 1; farther away there is no loss (NaN).

    Shapes: probabilities (...) in [0, 1], labels (...) in {0, 1} or in [0, 1] -> (...) nats.
    """
    p, y, valid = _binary("binary_cross_entropy", "probabilities", probabilities, labels)
    valid *= within("binary_cross_entropy", "probabilities", p, domain.PROBABILITIES)
    eps, p = jnp.finfo(p.dtype).eps, p - jax.lax.stop_gradient(jnp.where(p > 1, p - 1, 0))
    return valid * (-y * jnp.log(jnp.maximum(p, eps)) - (1 - y) * jnp.log(jnp.maximum(1 - p, eps)))


@_widened
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
    """
    check_interval("focal", "gamma", gamma, "[0, inf)")
    check_interval("focal", "alpha", alpha, "[0, 1]")
    z, y, valid = _binary("focal", "logits", logits, labels)
    entropy = _cross_entropy(z, y)
    share = _power(y * jax.nn.sigmoid(-z) + (1 - y) * jax.nn.sigmoid(z), gamma)  # sums of what is not negative
    if alpha is not None:
        share = share * (y * alpha + (1 - y) * (1 - alpha))
    infinite = jnp.isinf(entropy)  # there the share no longer changes with z
    loss = jnp.where(infinite, _product(jax.lax.stop_gradient(share), entropy), share * _finite(entropy))
    return valid * loss


def _power(x: jax.Array, exponent: float | jax.Array) -> jax.Array:
    """x^exponent for x >= 0, with derivatives of 0 at 0 (where x is too small to be seen)."""
    seen = x > jnp.finfo(x.dtype).tiny
    return jnp.where(seen, jnp.power(jnp.where(seen, x, 1), exponent), jnp.where(jnp.asarray(exponent) == 0, 1, 0))


@_widened
def hinge(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, 1 - y s), with subgradient 0 at y s = 1; an upper bound on the zero-one loss.

    Shapes: scores (...), labels (...) in {-1, +1} -> (...).   Reference: Cortes & Vapnik 1995.
    """
    margin, valid = _margin("hinge", scores, labels)
    return valid * jnp.where(margin >= 1, 0, 1 - margin)


@_widened
def squared_hinge(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, 1 - y s)².   Shapes: scores (...), labels (...) in {-1, +1} -> (...)."""
    margin, valid = _margin("squared_hinge", scores, labels)
    return valid * jnp.square(jnp.where(margin >= 1, 0, 1 - margin))


@_widened
def perceptron(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, -y s), with subgradient -y at s = 0, so that zero weights learn.

    Shapes: scores (...), labels (...) in {-1, +1} -> (...).   Reference: Rosenblatt 1958.
    """
    margin, valid = _margin("perceptron", scores, labels)
    return valid * jnp.where(margin > 0, 0, -margin)


# Many classes, C numbers per example.


@_widened
def softmax_cross_entropy(logits: ArrayLike, labels: ArrayLike, label_smoothing: float | jax.Array = 0.0) -> jax.Array:
    """-(1 - a) log p_y - a mean_c log p_c, p = softmax(logits), a = label_smoothing.

    Args:
        label_smoothing: in [0, 1]; the share of the label spread evenly over the classes.

    Shapes: logits (..., C), labels (...) int in [0, C) -> (...) nats.
    """
    check_interval("softmax_cross_entropy", "label_smoothing", label_smoothing, "[0, 1]")
    logits, labels, valid = _classes("softmax_cross_entropy", "logits", logits, labels)
    log_p, a = _log_softmax(logits), label_smoothing
    picked = _pick(log_p, labels)
    if isinstance(a, (int, float)) and a == 0:
        return -valid * picked
    return -valid * (_product(1 - a, picked) + _product(jnp.asarray(a, logits.dtype), jnp.mean(log_p, axis=-1)))


@_widened
def softmax_cross_entropy_one_hot(
    logits: ArrayLike, targets: ArrayLike, label_smoothing: float | jax.Array = 0.0
) -> jax.Array:
    """-sum_c ((1 - a) t_c + a / C) log p_c, p = softmax(logits), a = label_smoothing; 0 log 0 = 0.

    Args:
        label_smoothing: in [0, 1]; the share of the target spread evenly over the classes.

    Shapes: logits (..., C), targets (..., C) >= 0 of sum 1 (to 0.01) -> (...) nats.
    """
    who = "softmax_cross_entropy_one_hot"
    check_interval(who, "label_smoothing", label_smoothing, "[0, 1]")
    logits, targets = _alike(who, "logits", logits, "targets", targets, real=True)
    valid = within(who, "targets", targets, domain.DISTRIBUTIONS)
    smoothed = (1 - label_smoothing) * targets + label_smoothing / logits.shape[-1]
    return -valid * jnp.sum(_product(smoothed, _log_softmax(logits)), axis=-1)


@_widened
def negative_log_likelihood(log_probs: ArrayLike, labels: ArrayLike) -> jax.Array:
    """-log p_y, for a model that ends in log_softmax.

    Shapes: log_probs (..., C) <= 0, labels (...) int in [0, C) -> (...) nats.
    """
    log_probs, labels, valid = _classes("negative_log_likelihood", "log_probs", log_probs, labels)
    valid *= within("negative_log_likelihood", "log_probs", log_probs, domain.LOG_PROBABILITIES)
    return -valid * _pick(log_probs, labels)


@_widened
def multiclass_hinge(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, 1 + max_{c != y} s_c - s_y): the true class must lead by 1.

    Shapes: scores (..., C), labels (...) int in [0, C) -> (...).   Reference: Crammer & Singer 2001, JMLR 2.
    """
    scores, labels, valid = _classes("multiclass_hinge", "scores", scores, labels)
    own = jax.nn.one_hot(labels, scores.shape[-1], dtype=bool)
    return valid * jnp.max(jnp.where(own, 0, scores - _pick(scores, labels)[..., None] + 1), axis=-1)


@_widened
def kl_divergence(log_q: ArrayLike, p: ArrayLike) -> jax.Array:
    """sum_c p_c (log p_c - log q_c), the nats lost by coding p with q; 0 log 0 = 0; inf where q_c = 0 < p_c.

    The prediction comes as logarithms, the target as probabilities, as in optax.losses.kl_divergence. The derivative by a
    p_c of 0, which is -inf, is that at the smallest positive number instead.

    Shapes: log_q (..., C) <= 0, p (..., C) >= 0 of sum 1 (to 0.01) -> (...) nats.
    """
    log_q, p = _alike("kl_divergence", "log_q", log_q, "p", p, real=True)
    valid = within("kl_divergence", "p", p, domain.DISTRIBUTIONS)
    valid *= within("kl_divergence", "log_q", log_q, domain.LOG_PROBABILITIES)
    log_p = jnp.log(jnp.where(p > 0, p, jnp.finfo(p.dtype).tiny))
    return valid * jnp.sum(_product(p, log_p - log_q), axis=-1)


def _alike(
    who: str, a_name: str, a: ArrayLike, b_name: str, b: ArrayLike, real: bool = False
) -> tuple[jax.Array, jax.Array]:
    """Both as floating arrays of one shape."""
    a, b = _floating(who, a), _floating(who, b)
    if a.shape != b.shape:
        raise ValueError(f"{who}: {a_name} and {b_name} must have one shape, got {a.shape} and {b.shape}")
    if real:
        _check_real(who, a_name, a)
        _check_real(who, b_name, b)
    return a, b


def _floating(who: str, x: ArrayLike) -> jax.Array:
    x = jnp.asarray(as_arrays(who, x))
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(float)


def _check_real(who: str, name: str, x: jax.Array) -> None:
    if jnp.iscomplexobj(x):
        raise TypeError(f"{who}: {name} must be real, got {x.dtype}")


def _error(who: str, prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    prediction, target = _alike(who, "prediction", prediction, "target", target)
    return prediction - target


def _binary(who: str, name: str, prediction: ArrayLike, labels: ArrayLike) -> tuple[jax.Array, jax.Array, jax.Array]:
    prediction, y = _alike(who, name, prediction, "labels", labels, real=True)
    return prediction, y.astype(prediction.dtype), within(who, "labels", y, domain.SHARES)


def _margin(who: str, scores: ArrayLike, labels: ArrayLike) -> tuple[jax.Array, jax.Array]:
    scores, signs = _alike(who, "scores", scores, "labels", labels, real=True)
    return signs.astype(scores.dtype) * scores, within(who, "labels", signs, domain.SIGNS)


def _classes(who: str, name: str, scores: ArrayLike, labels: ArrayLike) -> tuple[jax.Array, jax.Array, jax.Array]:
    scores, classes = _floating(who, scores), whole_numbers(labels)
    _check_real(who, name, scores)
    if not jnp.issubdtype(classes.dtype, jnp.integer):
        raise TypeError(f"{who}: labels must be integers, got {classes.dtype}")
    if not scores.ndim or classes.shape != scores.shape[:-1]:
        expected = f"labels (...) and {name} (..., C) must agree"
        raise ValueError(f"{who}: {expected}, got {classes.shape} and {scores.shape}")
    size = scores.shape[-1]
    given = labels if is_concrete(labels) else classes  # before an int64 wraps
    valid = within(who, "labels", given, domain.classes(size))
    return scores, jnp.clip(classes, 0, size - 1), valid


def _pick(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """scores[..., labels]."""
    return jnp.take_along_axis(scores, labels[..., None], axis=-1)[..., 0]


def _finite(x: jax.Array) -> jax.Array:
    """Infinities as the largest number; no derivative leads there."""
    return jnp.where(jnp.isinf(x), jnp.sign(x) * jnp.finfo(x.dtype).max, x)


def _product(p: jax.Array, x: jax.Array) -> jax.Array:
    """p x, where 0 times infinity is 0; its derivative by p is x at p = 0 too, by x it is p."""
    return p * jnp.where(p == 0, _finite(x), x)


@jax.custom_jvp
def _log_softmax(logits: jax.Array) -> jax.Array:
    """log softmax over the last axis, and its limit at infinite logits: one +inf takes all; several have none (NaN)."""
    most = jnp.max(logits, axis=-1, keepdims=True)
    shifted = jnp.where(logits == most, 0, logits - most)
    total = jnp.sum(jnp.exp(shifted), axis=-1, keepdims=True)  # where most is infinite: how many are
    return jnp.where(jnp.isfinite(most) | (total == 1), shifted - jnp.log(total), jnp.nan)


@_log_softmax.defjvp
def _log_softmax_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (logits,), (change,) = primals, tangents
    log_p = _log_softmax(logits)
    return log_p, change - jnp.sum(jnp.exp(log_p) * change, axis=-1, keepdims=True)


def _two_classes(logits: jax.Array) -> jax.Array:
    """Logits (...) to the probabilities of both classes, (..., 2)."""
    return jnp.stack([jax.nn.sigmoid(-logits), jax.nn.sigmoid(logits)], axis=-1)


class LossEntry(NamedTuple):
    """A loss, and what a command line must know of it.

    labels: "real", "binary" {0, 1} or "sign" {-1, +1} (...), "class" int (...) or "distribution" (..., C).
    prediction: "score" (any real number, what models give), "probability" or "log_probability".
    probabilities: scores -> the probabilities (..., C) that the loss takes them for; None if it does not.
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
    "softmax_cross_entropy": LossEntry(softmax_cross_entropy, "class", probabilities=jax.nn.softmax),
    "softmax_cross_entropy_one_hot": LossEntry(softmax_cross_entropy_one_hot, "distribution"),
    "negative_log_likelihood": LossEntry(negative_log_likelihood, "class", "log_probability"),
    "multiclass_hinge": LossEntry(multiclass_hinge, "class"),
    "kl_divergence": LossEntry(kl_divergence, "distribution", "log_probability"),
}
