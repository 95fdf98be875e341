"""Losses of one example, their lift to any batch, and penalties.

A loss here knows one example. What every training loop repeats around it (map over the batch, leave out the
padding, weigh, average, average the metrics alike, add the penalty) is said once, in `per_example`:

    value = sum_i m_i w_i l(params, example_i) / sum_i m_i w_i  +  penalty(params)

so the usual loss is `per_example(supervised(model, softmax_cross_entropy, {"accuracy": correct}))`. What the
lifts return compares by value, a `functools.partial` inside included, so that a loop built again is not
compiled again.

The losses themselves share these rules. Leading axes are free: one example and a batch both work,
elementwise. Shapes must agree exactly, else ValueError: (n,) against (n, 1) would broadcast to (n, n). Label
values are checked where they are concrete (ValueError); in traced code a class outside [0, C) gives NaN.
Classes must be integers (TypeError).

Differs from Optax: its hinge_loss, huber_loss, log_cosh and sigmoid_binary_cross_entropy broadcast in
silence, a class of -1 reads the last one, and impossible classes (p = 0, log q = -inf) give NaN.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gdjax.nodes import check_interval, is_concrete
from gdjax.tree import abs_sq, arithmetic_dtype, path_string, select
from gdjax.types import Batch, Metrics, Params

RESERVED = frozenset({"weight", "penalty"})  # the metrics that `per_example` itself writes


@dataclasses.dataclass(frozen=True)
class Bound:
    """A `functools.partial` that compares by value; made by `bind`."""

    function: Callable
    args: tuple
    keywords: tuple[tuple[str, Any], ...]

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self.function(*self.args, *args, **{**dict(self.keywords), **keywords})

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(functools.partial(self.function, *self.args, **dict(self.keywords)))


def bind(function: Callable, *args: Any, **keywords: Any) -> Callable:
    """`functools.partial`, equal by value: `bind(huber, delta=0.5)`; a function with none as it is."""
    partial = functools.partial(function, *args, **keywords)
    if not (partial.args or partial.keywords):
        return function
    return Bound(partial.func, partial.args, tuple(sorted(partial.keywords.items())))


@dataclasses.dataclass(frozen=True)
class PerExample:
    """A loss on one example, lifted to any batch; made by `per_example`."""

    loss: Callable
    weight: Callable | None = None
    penalty: Callable | None = None

    def __call__(
        self, params: Params, batch: Batch, key: jax.Array | None = None, *, mask: ArrayLike | None = None
    ) -> tuple[jax.Array, Metrics]:
        weights = self._weights(batch, mask)
        lifted_params = params
        if mask is not None or self.weight is not None:
            lifted_params, batch = _without_weightless(params, batch, weights)
        keys = None if key is None else jax.random.split(key, weights.size)
        losses, metrics = jax.vmap(self._one, in_axes=(None, 0, 0))(lifted_params, batch, keys)
        value = _weighted_mean(losses, weights)
        metrics = {name: _weighted_mean(x, weights) for name, x in metrics.items()}
        metrics["weight"] = jnp.sum(weights, dtype=jnp.float32)
        if self.penalty is not None:
            metrics["penalty"] = self.penalty(params)
            value = value + metrics["penalty"]
        return value, metrics

    def _one(self, params: Params, example: Any, key: jax.Array | None) -> tuple[jax.Array, Metrics]:
        returned = _with_key(self.loss)(params, example, key)
        value, metrics = returned if isinstance(returned, tuple) else (returned, {})
        if taken := RESERVED & metrics.keys():
            raise ValueError(f"per_example: metrics must not be named weight or penalty, got {min(taken)!r}")
        for name, x in {"loss": value, **metrics}.items():
            _check_scalar(name, np.shape(x))
        return jnp.asarray(value), {name: jnp.asarray(x) for name, x in metrics.items()}

    def _weights(self, batch: Batch, mask: ArrayLike | None) -> jax.Array:
        """m_i w_i, (B,) float; a masked row weighs 0 whatever it holds."""
        size = _batch_size(batch)
        m = jnp.ones(size) if mask is None else jnp.asarray(mask).astype(float)
        if m.shape != (size,):
            raise ValueError(f"per_example: mask must have shape ({size},), got {m.shape}")
        if self.weight is None:
            return m
        w = jax.vmap(self.weight)(batch)
        _check_scalar("weight", w.shape[1:])
        return jnp.where(m != 0, m * w, 0)


def per_example(
    loss: Callable, weight: Callable | None = None, penalty: Callable[[Params], jax.Array] | None = None
) -> PerExample:
    """A loss on one example -> a loss on any batch: the weighted mean over its unmasked rows.

        value = sum_i m_i w_i l_i / sum_i m_i w_i + penalty(params)

    The result is called `(params, batch, key=None, *, mask=None)` and returns `(value, metrics)`. A row of
    weight 0 has no influence on value, metrics or gradient, not even if it holds NaN; where all weigh 0, the
    mean and its gradient are 0. Metrics are averaged alike, and two are added: "weight", sum_i m_i w_i ()
    float32, by which a loop weighs this batch in the mean of an epoch, and "penalty" where there is one.

    Args:
        loss: `(params, example)` or `(params, example, key)` -> a scalar, or (scalar, dict of scalars). It
            takes a key if it needs a third argument or has one named key: its own, None if none is given.
        weight: example -> scalar >= 0.
        penalty: params -> scalar, e.g. `l2(1e-4)`.

    Shapes: leaves of batch (B, ...), mask (B,) bool or float >= 0.   Raises: ValueError if a loss, metric or
    weight of one example is no scalar, a metric takes a reserved name, or batch and mask differ in their
    leading axes.
    """
    return PerExample(bind(loss), weight and bind(weight), penalty and bind(penalty))


@dataclasses.dataclass(frozen=True)
class Supervised:
    """A model and a loss as a loss on one example (x, y); made by `supervised`."""

    model: Any
    loss: Callable
    metrics: tuple[tuple[str, Callable], ...] = ()

    def __call__(
        self, params: Params, example: tuple[Any, Any], key: jax.Array | None = None
    ) -> tuple[jax.Array, Metrics]:
        x, y = example
        prediction = self.model.apply(params, x, key)
        metrics = {name: jnp.mean(metric(prediction, y)) for name, metric in self.metrics}
        return jnp.mean(self.loss(prediction, y)), metrics


def supervised(
    model: Any, loss: Callable, metrics: Mapping[str, Callable] | Iterable[tuple[str, Callable]] = ()
) -> Supervised:
    """l(params, (x, y), key) = mean(loss(model.apply(params, x, key), y)), to be lifted by `per_example`.

    Args:
        model: what has `apply(params, x, key)` and hashes.
        loss: (prediction, y) -> (...); the axes of a vector-valued target are averaged.
        metrics: name -> (prediction, y) -> (...), of the same prediction and averaged alike.
    """
    named = sorted((name, bind(metric)) for name, metric in dict(metrics).items())
    return Supervised(model, bind(loss), tuple(named))


@dataclasses.dataclass(frozen=True)
class Stateful:
    """A loss that carries a state from batch to batch; made by `stateful`."""

    function: Callable

    def __call__(
        self, params: Params, model_state: Any, batch: Batch, key: jax.Array | None = None, **mask: Any
    ) -> tuple[jax.Array, Metrics, Any]:
        return self.function(params, model_state, batch, key, **mask)


def stateful(function: Callable) -> Stateful:
    """Marks `(params, model_state, batch, key) -> (scalar, metrics, model_state)`, e.g. batch norm.

    It may also take `mask=`; then it reports a metric "weight", as `per_example` does.
    """
    return Stateful(bind(function))


def takes_mask(loss_fn: Callable) -> bool:
    """Whether a loss on batches has an argument `mask`, so that a ragged tail can be handed to it masked."""
    function = loss_fn.function if isinstance(loss_fn, Stateful) else loss_fn
    return "mask" in inspect.signature(function).parameters


def _weighted_mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """sum w v / sum w, at least float32; 0 where all w are 0."""
    values = values.astype(arithmetic_dtype(values))
    weights = weights.astype(values.dtype)
    total = jnp.sum(weights)
    return jnp.sum(weights * values, where=weights != 0) / jnp.where(total == 0, 1, total)


def _without_weightless(params: Params, batch: Batch, weights: jax.Array) -> tuple[Params, Batch]:
    """A weightless row becomes a copy of the first that counts: 0 times the gradient at a NaN would be NaN.

    Where no row counts there is nothing to copy, and the gradient is cut at the parameters instead.
    """
    counts = weights != 0
    first = jnp.argmax(counts)

    def replace(x):
        return jnp.where(jnp.expand_dims(counts, tuple(range(1, jnp.ndim(x)))), x, x[first])

    return select(jnp.any(counts), params, jax.lax.stop_gradient(params)), jax.tree.map(replace, batch)


def _with_key(loss: Callable) -> Callable:
    """The loss as a function of (params, example, key)."""
    parameters = inspect.signature(loss).parameters
    positional = [p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) > 2 and positional[2].default is inspect.Parameter.empty:
        return loss
    if "key" in parameters:
        return lambda params, example, key: loss(params, example, key=key)
    return lambda params, example, key: loss(params, example)


def _batch_size(batch: Batch) -> int:
    shapes = [np.shape(x) for x in jax.tree.leaves(batch)]
    if len({shape[:1] for shape in shapes}) != 1 or () in shapes:
        raise ValueError(f"per_example: the leaves of a batch must share their leading axis, got {shapes}")
    return shapes[0][0]


def _check_scalar(name: str, shape: tuple[int, ...]) -> None:
    if shape:
        raise ValueError(f"per_example: the {name} of one example must be a scalar, got shape {shape}")


# Penalties: params -> scalar.


def is_weight(path: str, leaf: Any) -> bool:
    """Matrices and kernels, not biases: ndim >= 2."""
    return np.ndim(leaf) >= 2


@dataclasses.dataclass(frozen=True)
class Penalty:
    """strength sum (l1_ratio |w| + (1 - l1_ratio) |w|²) over some leaves; made by `l1`, `l2`, `elastic`."""

    strength: float
    l1_ratio: float
    where: Callable[[str, Any], bool] = is_weight

    def __call__(self, params: Params) -> jax.Array:
        leaves = [(path_string(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)]
        terms = [self._of_leaf(leaf) for path, leaf in leaves if self.where(path, leaf)]
        if not terms:
            paths = ", ".join(path for path, _ in leaves)
            raise ValueError(f"penalty: where must choose a leaf, got none of {paths}")
        return self.strength * sum(terms, start=jnp.zeros((), jnp.float32))

    def _of_leaf(self, leaf: ArrayLike) -> jax.Array:
        w = jnp.asarray(leaf, arithmetic_dtype(leaf))
        return jnp.sum(self.l1_ratio * _absolute(w) + (1 - self.l1_ratio) * abs_sq(w))


def l1(strength: float, where: Callable[[str, Any], bool] = is_weight) -> Penalty:
    """strength sum |w|, with subgradient 0 at 0. Arguments and errors as for `l2`."""
    check_interval("l1", "strength", strength, "[0, inf)")
    return Penalty(strength, 1.0, where)


def l2(strength: float, where: Callable[[str, Any], bool] = is_weight) -> Penalty:
    """strength sum |w|², by gradient a weight decay of 2 strength.

    Args:
        strength: >= 0, loss units.
        where: (path, leaf) -> bool, the path as in "['w']": which leaves; by default those of ndim >= 2.

    Raises: ValueError if strength < 0 or, when called, if no leaf is chosen: a linear model whose weights are
    a vector needs a `where` of its own.
    """
    check_interval("l2", "strength", strength, "[0, inf)")
    return Penalty(strength, 0.0, where)


def elastic(strength: float, l1_ratio: float, where: Callable[[str, Any], bool] = is_weight) -> Penalty:
    """strength sum (l1_ratio |w| + (1 - l1_ratio) |w|²): `l1` at l1_ratio = 1, `l2` at 0, in [0, 1].

    Differs from: sklearn.linear_model.ElasticNet, which halves |w|².
    Reference: Zou & Hastie 2005, J. R. Statist. Soc. B 67.
    """
    check_interval("elastic", "strength", strength, "[0, inf)")
    check_interval("elastic", "l1_ratio", l1_ratio, "[0, 1]")
    return Penalty(strength, l1_ratio, where)


# Regression. A vector-valued output (..., D) keeps its axis; `supervised` takes the mean over it.


def squared_error(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """(prediction - target)².   Shapes: (...), (...) -> (...)."""
    return jnp.square(_error("squared_error", prediction, target))


def half_squared_error(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """(prediction - target)² / 2, whose gradient is the error itself.   Shapes: (...), (...) -> (...)."""
    return jnp.square(_error("half_squared_error", prediction, target)) / 2


def absolute_error(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """|prediction - target|, with subgradient 0 at 0.   Shapes: (...), (...) -> (...)."""
    return _absolute(_error("absolute_error", prediction, target))


def huber(prediction: ArrayLike, target: ArrayLike, delta: float | jax.Array = 1.0) -> jax.Array:
    """Squared near 0, linear beyond delta: its gradient is the error e clipped to [-delta, delta].

        e²/2 where |e| <= delta,   delta (|e| - delta/2) elsewhere,   e = prediction - target

    Args:
        delta: > 0, target units.

    Shapes: (...), (...) -> (...).   Reference: Huber 1964, Ann. Math. Statist. 35.
    """
    check_interval("huber", "delta", delta, "(0, inf)")
    error = _error("huber", prediction, target)
    clipped = jnp.clip(error, -delta, delta)
    return clipped * (error - clipped / 2)


def log_cosh(prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    """log cosh e, e = prediction - target: e²/2 near 0, |e| - log 2 far away, smooth between.

    Shapes: (...), (...) -> (...).   Differs from: optax.log_cosh, in float32 off by 7 % at e = 1e-3.
    """
    error = _error("log_cosh", prediction, target)
    near = jnp.log1p(2 * jnp.sinh(jnp.clip(error, -1, 1) / 2) ** 2)  # cosh e = 1 + 2 sinh²(e/2)
    far = jnp.abs(error) + jnp.log1p(jnp.exp(-2 * jnp.abs(error))) - jnp.log(2)
    return jnp.where(jnp.abs(error) < 1, near, far)


# Two classes, one number per example.


def binary_cross_entropy_from_logits(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    """-y log s(z) - (1 - y) log(1 - s(z)), s the logistic function; accurate for any z.

    Shapes: logits (...), labels (...) in {0, 1} or probabilities in [0, 1] -> (...) nats.
    """
    z, y = _binary("binary_cross_entropy_from_logits", "logits", logits, labels)
    return y * jax.nn.softplus(-z) + (1 - y) * jax.nn.softplus(z)


def binary_cross_entropy(probabilities: ArrayLike, labels: ArrayLike) -> jax.Array:
    """-y log max(p, eps) - (1 - y) log max(1 - p, eps), eps the machine epsilon of the dtype.

    Value and gradient are finite even at p = 0 and 1, but clipped a wrong prediction gets no gradient: to
    train, prefer logits.

    Shapes: probabilities (...) in [0, 1], labels (...) in {0, 1} or in [0, 1] -> (...) nats.
    """
    p, y = _binary("binary_cross_entropy", "probabilities", probabilities, labels)
    eps = jnp.finfo(p.dtype).eps
    return -y * jnp.log(jnp.maximum(p, eps)) - (1 - y) * jnp.log(jnp.maximum(1 - p, eps))


def focal(
    logits: ArrayLike,
    labels: ArrayLike,
    gamma: float | jax.Array = 2.0,
    alpha: float | jax.Array | None = None,
) -> jax.Array:
    """Cross-entropy that plays down what is already right: -alpha_y (1 - p_y)^gamma log p_y.

        p_y = s(z) where y = 1, 1 - s(z) where y = 0;   alpha_y = alpha where y = 1, 1 - alpha where y = 0

    Args:
        gamma: >= 0; 0 is the cross-entropy.
        alpha: in [0, 1], the weight of the positive class; None weighs neither.

    Shapes: logits (...), labels (...) in {0, 1} -> (...) nats.   Reference: Lin et al., arXiv:1708.02002.
    """
    check_interval("focal", "gamma", gamma, "[0, inf)")
    check_interval("focal", "alpha", alpha, "[0, 1]")
    z, y = _binary("focal", "logits", logits, labels)
    z = jnp.where(y > 0, z, -z)
    loss = jnp.exp(-gamma * jax.nn.softplus(z)) * jax.nn.softplus(-z)
    return loss if alpha is None else jnp.where(y > 0, alpha, 1 - alpha) * loss


def hinge(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, 1 - y s), with subgradient 0 at y s = 1; an upper bound on the zero-one loss.

    Shapes: scores (...), labels (...) in {-1, +1} -> (...).   Reference: Cortes & Vapnik 1995.
    """
    margin = _margin("hinge", scores, labels)
    return jnp.where(margin >= 1, 0, 1 - margin)


def squared_hinge(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, 1 - y s)².   Shapes: scores (...), labels (...) in {-1, +1} -> (...)."""
    margin = _margin("squared_hinge", scores, labels)
    return jnp.square(jnp.where(margin >= 1, 0, 1 - margin))


def perceptron(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, -y s), with subgradient -y at s = 0, so that zero weights learn.

    Shapes: scores (...), labels (...) in {-1, +1} -> (...).   Reference: Rosenblatt 1958.
    """
    margin = _margin("perceptron", scores, labels)
    return jnp.where(margin > 0, 0, -margin)


# Many classes, C numbers per example.


def softmax_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, label_smoothing: float | jax.Array = 0.0
) -> jax.Array:
    """-(1 - a) log p_y - a mean_c log p_c, p = softmax(logits), a = label_smoothing.

    Args:
        label_smoothing: in [0, 1]; the share of the label spread evenly over the classes.

    Shapes: logits (..., C), labels (...) int in [0, C) -> (...) nats.
    """
    check_interval("softmax_cross_entropy", "label_smoothing", label_smoothing, "[0, 1]")
    logits, labels = _classes("softmax_cross_entropy", "logits", logits, labels)
    log_p = jax.nn.log_softmax(logits)
    spread = jnp.where(label_smoothing > 0, label_smoothing * jnp.mean(log_p, axis=-1), 0)  # not 0 * -inf
    return -(1 - label_smoothing) * _pick(log_p, labels) - spread


def softmax_cross_entropy_one_hot(
    logits: ArrayLike, targets: ArrayLike, label_smoothing: float | jax.Array = 0.0
) -> jax.Array:
    """-sum_c ((1 - a) t_c + a / C) log p_c, p = softmax(logits), a = label_smoothing; 0 log 0 = 0.

    Args:
        label_smoothing: in [0, 1]; the share of the target spread evenly over the classes.

    Shapes: logits (..., C), targets (..., C) >= 0 of sum 1 -> (...) nats.
    """
    check_interval("softmax_cross_entropy_one_hot", "label_smoothing", label_smoothing, "[0, 1]")
    logits, targets = _alike("softmax_cross_entropy_one_hot", "logits", logits, "targets", targets)
    smoothed = (1 - label_smoothing) * targets + label_smoothing / logits.shape[-1]
    return -_expectation(smoothed, jax.nn.log_softmax(logits))


def negative_log_likelihood(log_probs: ArrayLike, labels: ArrayLike) -> jax.Array:
    """-log p_y, for a model that ends in log_softmax.

    Shapes: log_probs (..., C) <= 0, labels (...) int in [0, C) -> (...) nats.
    """
    return -_pick(*_classes("negative_log_likelihood", "log_probs", log_probs, labels))


def multiclass_hinge(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """max(0, 1 + max_{c != y} s_c - s_y): the true class must lead by 1.

    Shapes: scores (..., C), labels (...) int in [0, C) -> (...).   Reference: Crammer & Singer 2001, JMLR 2.
    """
    scores, labels = _classes("multiclass_hinge", "scores", scores, labels)
    others = 1 - jax.nn.one_hot(labels, scores.shape[-1], dtype=scores.dtype)
    return jnp.max(scores - _pick(scores, labels)[..., None] + others, axis=-1)


def kl_divergence(log_q: ArrayLike, p: ArrayLike) -> jax.Array:
    """sum_c p_c (log p_c - log q_c), the nats lost by coding p with q; 0 log 0 = 0; inf where q_c = 0 < p_c.

    The prediction comes as logarithms, the target as probabilities, as in optax.losses.kl_divergence.

    Shapes: log_q (..., C) <= 0, p (..., C) >= 0 of sum 1 -> (...) nats.
    """
    log_q, p = _alike("kl_divergence", "log_q", log_q, "p", p)
    return _expectation(p, jnp.log(jnp.where(p > 0, p, 1)) - log_q)


def _alike(who: str, a_name: str, a: ArrayLike, b_name: str, b: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Both as floating arrays of one shape."""
    a, b = _floating(a), _floating(b)
    if a.shape != b.shape:
        raise ValueError(f"{who}: {a_name} and {b_name} must have one shape, got {a.shape} and {b.shape}")
    return a, b


def _floating(x: ArrayLike) -> jax.Array:
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(float)


def _error(who: str, prediction: ArrayLike, target: ArrayLike) -> jax.Array:
    prediction, target = _alike(who, "prediction", prediction, "target", target)
    return prediction - target


def _absolute(x: jax.Array) -> jax.Array:
    """|x| with subgradient 0 at 0, where that of jnp.abs is 1."""
    nonzero = x != 0
    return jnp.where(nonzero, jnp.abs(jnp.where(nonzero, x, 1)), 0)


def _binary(who: str, name: str, prediction: ArrayLike, labels: ArrayLike) -> tuple[jax.Array, jax.Array]:
    _check_values(who, labels, lambda y: (y >= 0) & (y <= 1), "[0, 1]")
    prediction, y = _alike(who, name, prediction, "labels", labels)
    return prediction, y.astype(prediction.dtype)


def _margin(who: str, scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    _check_values(who, labels, lambda y: (y == 1) | (y == -1), "{-1, +1}")
    scores, signs = _alike(who, "scores", scores, "labels", labels)
    return signs.astype(scores.dtype) * scores


def _classes(who: str, name: str, scores: ArrayLike, labels: ArrayLike) -> tuple[jax.Array, jax.Array]:
    scores, classes = _floating(scores), jnp.asarray(labels)
    if not jnp.issubdtype(classes.dtype, jnp.integer):
        raise TypeError(f"{who}: labels must be integers, got {classes.dtype}")
    if not scores.ndim or classes.shape != scores.shape[:-1]:
        expected = f"labels (...) and {name} (..., C) must agree"
        raise ValueError(f"{who}: {expected}, got {classes.shape} and {scores.shape}")
    size = scores.shape[-1]
    _check_values(who, labels, lambda y: (y >= 0) & (y < size), f"[0, {size})")
    return scores, classes


def _check_values(who: str, labels: ArrayLike, holds: Callable[[Any], Any], domain: str) -> None:
    if is_concrete(labels):
        values = np.asarray(labels)
        if (wrong := values[~holds(values)]).size:
            raise ValueError(f"{who}: labels must be in {domain}, got {wrong[0]}")


def _pick(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """scores[..., labels]; NaN for a label outside [0, C)."""
    labels = jnp.where(labels < 0, scores.shape[-1], labels)  # a negative index would count from the end
    return jnp.take_along_axis(scores, labels[..., None], axis=-1, mode="fill", fill_value=jnp.nan)[..., 0]


def _expectation(p: jax.Array, x: jax.Array) -> jax.Array:
    """sum_c p_c x_c; what is impossible adds nothing, be it 0 * inf."""
    return jnp.sum(p * jnp.where(p > 0, x, 0), axis=-1)


class LossEntry(NamedTuple):
    """A loss, and what a command line must know of it.

    labels: "real", "binary" {0, 1} or "sign" {-1, +1} (...), "class" int (...) or "distribution" (..., C).
    prediction: "score" (any real number, what models give), "probability" or "log_probability".
    """

    function: Callable[..., jax.Array]
    labels: str
    prediction: str = "score"

    @property
    def task(self) -> str:
        return "regression" if self.labels == "real" else "classification"


LOSSES: dict[str, LossEntry] = {
    "squared_error": LossEntry(squared_error, "real"),
    "half_squared_error": LossEntry(half_squared_error, "real"),
    "absolute_error": LossEntry(absolute_error, "real"),
    "huber": LossEntry(huber, "real"),
    "log_cosh": LossEntry(log_cosh, "real"),
    "binary_cross_entropy_from_logits": LossEntry(binary_cross_entropy_from_logits, "binary"),
    "binary_cross_entropy": LossEntry(binary_cross_entropy, "binary", "probability"),
    "focal": LossEntry(focal, "binary"),
    "hinge": LossEntry(hinge, "sign"),
    "squared_hinge": LossEntry(squared_hinge, "sign"),
    "perceptron": LossEntry(perceptron, "sign"),
    "softmax_cross_entropy": LossEntry(softmax_cross_entropy, "class"),
    "softmax_cross_entropy_one_hot": LossEntry(softmax_cross_entropy_one_hot, "distribution"),
    "negative_log_likelihood": LossEntry(negative_log_likelihood, "class", "log_probability"),
    "multiclass_hinge": LossEntry(multiclass_hinge, "class"),
    "kl_divergence": LossEntry(kl_divergence, "distribution", "log_probability"),
}
