"""The lifts of a loss: from one example to any batch.

What every training loop repeats around a loss (map over the batch, leave out the padding, weigh, average, average the
metrics alike, add the penalty) is said once, in `per_example`:

    value = sum_i m_i w_i l(params, example_i) / sum_i m_i w_i  +  penalty(params)

so the usual loss is `per_example(supervised(model, softmax_cross_entropy_with_integer_labels))`. What the lifts return
compares by value, a `functools.partial` inside included, so that a loop built again is not compiled again.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gdjax.calls import is_concrete
from gdjax.data import as_arrays
from gdjax.domain import SUMMABLE, overhear, within
from gdjax.forms import Form, LossError, Stateful, check_numbers, explain_errors
from gdjax.losses.tokens import PerToken
from gdjax.measures import better_direction, better_directions, check_names, named_metrics
from gdjax.meshes import on_automatic_axes, replicate
from gdjax.programs import bind
from gdjax.tree import arithmetic_dtype, rescale, widen
from gdjax.types import Batch, Metrics, Params


@dataclasses.dataclass(frozen=True)
class PerExample:
    """A loss on one example, lifted to any batch; made by `per_example`."""

    loss: Callable[..., Any]
    weight: Callable[..., Any] | None = None
    penalty: Callable[..., Any] | None = None

    @property
    def directions(self) -> dict[str, str]:
        return better_directions(self.loss)

    def __call__(
        self, params: Params, batch: Batch, key: jax.Array | None = None, *, mask: ArrayLike | None = None
    ) -> tuple[jax.Array, Metrics]:
        return self._heard(self._all, params, as_arrays("per_example", batch), key, mask)

    def _heard(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of a function; where its value is NaN, losses that were mapped over rows say what they were given."""
        found = on_automatic_axes(function, replicate, *args)
        if is_concrete(found[0]) and np.isnan(found[0]):
            with overhear():
                function(*args)
        return found

    def _all(self, params: Params, batch: Batch, key: Any, mask: Any) -> tuple[jax.Array, Metrics]:
        weights = self._weights(batch, mask)
        lifted_params = params
        if mask is not None or self.weight is not None:
            lifted_params, batch = _without_weightless(params, batch, weights)
        keys = None if key is None else jax.random.split(key, weights.size)
        losses, metrics = jax.vmap(lambda *row: self._one(lifted_params, *row))(batch, keys)
        return self._mean(params, losses, metrics, weights, mask)

    def _mean(
        self, params: Params, losses: Any, metrics: Metrics, weights: Any, mask: Any
    ) -> tuple[jax.Array, Metrics]:
        """The weighted means of losses and metrics of all rows, and the penalty."""
        shares = weights if self.weight is None and _is_boolean(mask) else rescale(weights)
        value = _weighted_mean(losses, shares)
        metrics = {name: _weighted_mean(x, shares) for name, x in metrics.items()}
        metrics["weight"] = jnp.sum(weights, dtype=arithmetic_dtype(weights))
        if self.penalty is not None:
            metrics["penalty"] = self.penalty(params)
            value = value + metrics["penalty"]
        return value, metrics

    def _one(self, params: Params, example: Any, key: jax.Array | None) -> tuple[jax.Array, Metrics]:
        with explain_errors("per_example"):
            returned = Form.of("per_example", self.loss).call("per_example", self.loss, params, example, key)
        value, metrics = returned if isinstance(returned, tuple) else (returned, {})
        if value is None:
            raise LossError("per_example: the loss of one example must be a scalar, got None: is a return missing?")
        check_names("per_example", metrics)
        check_numbers("per_example", metrics)
        for name, x in {"loss": value, **metrics}.items():
            _check_scalar(name, np.shape(x))
        return jnp.asarray(value), {name: jnp.asarray(x) for name, x in metrics.items()}

    def _weights(self, batch: Batch, mask: ArrayLike | None) -> jax.Array:
        """m_i w_i, (B,) float; a masked row weighs 0 whatever it holds."""
        size = _batch_size(batch)
        m = jnp.ones(size) if mask is None else jnp.asarray(mask).astype(float)
        if m.shape != (size,):
            raise ValueError(f"per_example: mask must have shape ({size},), got {m.shape}")
        if not _is_boolean(mask):
            m = m * within("per_example", "mask", jnp.asarray(mask), SUMMABLE)
        if self.weight is None:
            return m
        w = jax.vmap(self.weight)(batch)
        _check_scalar("weight", w.shape[1:])
        return jnp.where(m != 0, m * w * within("per_example", "weight", w, SUMMABLE, m != 0), 0)


@dataclasses.dataclass(frozen=True)
class PerBatch(PerExample):
    """The same of a model with a state, whose examples see each other: what `per_example` then marks as `stateful`.

    The model is applied to all rows at once, and the loss to each of its predictions.
    """

    loss: Supervised

    def __call__(  # type: ignore[override]  # it is never called as a PerExample
        self,
        params: Params,
        model_state: Any,
        batch: Batch,
        key: jax.Array | None = None,
        *,
        mask: ArrayLike | None = None,
    ) -> tuple[jax.Array, Metrics, Any]:
        _check_state(self.loss.model, model_state)
        return self._heard(self._all, params, model_state, as_arrays("per_example", batch), key, mask)

    def _all(  # type: ignore[override]
        self, params: Params, model_state: Any, batch: Batch, key: Any, mask: Any
    ) -> tuple[jax.Array, Metrics, Any]:
        lifted_params, counts, weights = params, None, self._weights(batch, mask)
        if mask is not None:  # it decides who counts in the statistics, and not the classes' weights
            counts = jnp.asarray(mask).astype(float)
            counts = counts if _is_boolean(mask) else rescale(counts)
            lifted_params, batch = _without_weightless(params, batch, counts)
        with explain_errors("per_example"):
            x, y = batch
            predictions, model_state = self.loss.model.apply_with_state(lifted_params, model_state, x, key, counts)
            if self.weight is not None:
                _, (predictions, y) = _without_weightless((), (predictions, y), weights)
            losses, metrics = jax.vmap(self.loss.of_prediction)(predictions, y)
        return *self._mean(params, losses, metrics, weights, mask), model_state


def _check_state(model: Any, model_state: Any) -> None:
    want, got = (jax.tree.map(np.shape, state) for state in (jax.eval_shape(model.init_state), model_state))
    if want != got:
        raise LossError(
            "per_example: the model has a state, so model_state must have the shapes of model.init_state(), got "
            f"{got!r}; write model_state=model.init_state() in fit, sweep or make_state, and give "
            "evaluate(params, data, model_state) the result's: result.model_state"
        )


def per_example(
    loss: Callable[..., Any],
    weight: Callable[..., Any] | None = None,
    penalty: Callable[[Params], jax.Array] | None = None,
) -> Any:
    """A loss on one example -> a loss on any batch: the weighted mean over its unmasked rows.

        value = sum_i m_i w_i l_i / sum_i m_i w_i + penalty(params)

    The result is called `(params, batch, key=None, *, mask=None)` and returns `(value, metrics)`. A row of
    weight 0 has no influence on value, metrics or gradient, not even if it holds NaN; where all weigh 0, the
    mean and its gradient are 0. Only the ratios of the weights matter to the value; a negative one has no
    meaning, nor have weights that compiled code takes for 0 (below 1.2e-38 all): NaN, and a ValueError where
    they are concrete. Metrics are averaged alike, and two are added: "weight", sum_i m_i w_i () float, by
    which a loop weighs this batch in the mean of an epoch (NaN if they are infinite together), and "penalty"
    where there is one.

    Of `supervised(model, ...)` whose model has a state (batch norm) the result is a loss with a state, as `stateful` marks
    it: `(params, model_state, batch, key=None, *, mask=None)` -> `(value, metrics, model_state)`. The model then sees all
    rows at once. The mask decides which rows count in its statistics; `weight` does not touch them.

    Args:
        loss: `(params, example)` or `(params, example, key)` -> a scalar, or (scalar, dict of scalars). An argument
            is the example's own key (None if none is given) if it is called key, rng, rng_key or prng_key; an example
            that is a tuple is spread over others: `(params, x, y)`.
        weight: example -> scalar >= 0, spread over several arguments as for the loss; of a loss `per_token`, the weight
            of each of its tokens that count.
        penalty: params -> scalar, e.g. `l2(1e-4)`.

    Shapes: leaves of batch (B, ...), mask (B,) bool or float >= 0.   Raises: ValueError if a loss, metric or
    weight of one example is no scalar, a metric takes a reserved name, or batch and mask differ in their
    leading axes.

    >>> loss = gd.per_example(lambda w, x, y: (w * x - y) ** 2)
    >>> print(loss(2.0, (jnp.array([1.0, 2.0]), jnp.array([1.0, 1.0])), mask=jnp.array([True, False]))[0])
    1.0
    """
    parts = bind(loss), _weight_of(loss, weight), penalty and bind(penalty)
    if isinstance(loss, Supervised) and getattr(loss.model, "has_state", False):
        return Stateful(PerBatch(*parts))
    return PerExample(*parts)


@dataclasses.dataclass(frozen=True)
class Supervised:
    """A model and a loss as a loss on one example (x, y); made by `supervised`."""

    model: Any
    loss: Callable[..., Any]
    metrics: tuple[tuple[str, Callable[..., Any]], ...] = ()

    @property
    def directions(self) -> dict[str, str]:
        known = {name: better_direction(metric) for name, metric in self.metrics}
        return {name: direction for name, direction in known.items() if direction is not None}

    @property
    def weight_of(self) -> Callable[..., Any] | None:
        """The weight of an example: its tokens that count, if the loss is `per_token`; None: each weighs 1."""
        return bind(_tokens_of, self.loss) if isinstance(self.loss, PerToken) else None

    def __call__(
        self, params: Params, example: tuple[Any, Any], key: jax.Array | None = None
    ) -> tuple[jax.Array, Metrics]:
        x, y = example
        return self.of_prediction(self.model.apply(params, x, key), y)

    def of_prediction(self, prediction: Any, y: Any) -> tuple[jax.Array, Metrics]:
        """(loss, metrics) of one prediction."""
        prediction, y = jax.tree.map(widen, prediction), jax.tree.map(widen, y)
        metrics = {name: jnp.mean(metric(prediction, y)) for name, metric in self.metrics}
        return jnp.mean(self.loss(prediction, y)), metrics


def _tokens_of(loss: PerToken, example: tuple[Any, Any]) -> jax.Array:
    return loss.count(*example)


def supervised(
    model: Any,
    loss: Callable[..., Any],
    metrics: Mapping[str, Callable[..., Any]] | Iterable[tuple[str, Callable[..., Any]]] = (),
) -> Supervised:
    """l(params, (x, y), key) = mean(loss(model.apply(params, x, key), y)), to be lifted by `per_example`.

    Args:
        model: what has `apply(params, x, key)` and hashes.
        loss: (prediction, y) -> (...); the axes of a vector-valued target are averaged.
        metrics: name -> (prediction, y) -> (...), of the same prediction and averaged alike.

    Raises: ValueError for a metric of a name that is taken ("loss", "weight", "epoch", ...).

    >>> loss = gd.supervised(gd.models.linear_regression(2), gd.squared_error)
    >>> print(loss({"w": jnp.ones((2, 1)), "b": jnp.zeros(1)}, (jnp.array([1.0, 2.0]), 5.0), None))
    (Array(4., dtype=float32), {})
    """
    metrics = named_metrics("supervised", metrics)
    check_names("supervised", metrics)
    named = sorted((name, _of_one_example(name, metric)) for name, metric in metrics.items())
    return Supervised(model, bind(loss), tuple(named))


def _of_one_example(name: str, metric: Any) -> Callable[..., Any]:
    """The metric as a function of one example: a `Metric` that is a mean is one, another needs all rows at once."""
    if not hasattr(metric, "measure"):
        return bind(metric)
    if metric.of_one is None:
        raise ValueError(
            f"supervised: a metric must be a mean over examples, got {name!r}, which needs all rows at once; "
            "write make_evaluate(loss, metrics={...}, predict=model)"
        )
    return metric.of_one


def _weight_of(loss: Any, weight: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """The weight of an example, times the loss's own where it has one."""
    own, weight = getattr(loss, "weight_of", None), weight and bind(_over_parts, bind(weight), _asked(weight))
    return weight if own is None else own if weight is None else bind(_product, own, weight)


def _asked(function: Callable[..., Any]) -> int:
    """How many arguments a function needs; 1 where it does not say."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _over_parts(weight: Callable[..., Any], asked: int, example: Any) -> Any:
    """The weight of an example; a tuple is spread over several arguments, as it is for the loss."""
    spreads = isinstance(example, (tuple, list)) and asked == len(example) > 1
    return weight(*example) if spreads else weight(example)


def _product(own: Callable[..., Any], weight: Callable[..., Any], example: Any) -> jax.Array:
    count = own(example)
    return jnp.where(count == 0, 0, count * weight(example))


def stateful(function: Callable[..., Any]) -> Stateful:
    """Mark a loss whose model has a state, such as the running means of batch norm.

    Args:
        function: (params, model_state, batch, key) -> (scalar, metrics, model_state). It may also take `mask=`; then it
            reports a metric "weight", as `per_example` does.

    >>> loss = gd.stateful(lambda params, seen, batch, key: (params * batch.mean(), {}, seen + 1))
    >>> print(loss(2.0, 0, jnp.array([1.0, 3.0]), None))
    (Array(4., dtype=float32), {}, 1)
    """
    return Stateful(bind(function))


def _weighted_mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """sum w v / sum w, at least float32; 0 where all w are 0."""
    values = values.astype(arithmetic_dtype(values))
    weights = weights.astype(values.dtype)
    total = jnp.sum(weights)
    return jnp.sum(weights * values, where=weights != 0) / jnp.where(total == 0, 1, total)


def _is_boolean(mask: ArrayLike | None) -> bool:
    """Whether a row counts or does not: there is nothing else to check, and the sum of the weights is of usual size."""
    return mask is None or jnp.asarray(mask).dtype == bool


def _without_weightless(params: Params, batch: Batch, weights: jax.Array) -> tuple[Params, Batch]:
    """A weightless row becomes a copy of the first that counts: 0 times the gradient at a NaN would be NaN.

    Where no row counts there is nothing to copy, and the gradient is cut at the parameters instead.
    """
    counts = weights != 0
    first = jnp.min(jnp.arange(counts.size), initial=counts.size, where=counts)
    some = first < counts.size

    def replace(x):
        # of rows that are divided over devices, a gather exchanges one; a slice would exchange all
        return jnp.where(jnp.expand_dims(counts, tuple(range(1, jnp.ndim(x)))), x, jnp.asarray(x)[first[None]])

    def cut(p):  # a foreign module may hold functions among its leaves
        return jnp.where(some, p, jax.lax.stop_gradient(p)) if isinstance(p, jax.Array) else p

    return jax.tree.map(cut, params), jax.tree.map(replace, batch)


def _batch_size(batch: Batch) -> int:
    shapes = [np.shape(x) for x in jax.tree.leaves(batch)]
    if len({shape[:1] for shape in shapes}) != 1 or () in shapes:
        raise ValueError(f"per_example: the leaves of a batch must share their leading axis, got {shapes}")
    return shapes[0][0]


def _check_scalar(name: str, shape: tuple[int, ...]) -> None:
    if shape:
        hint = "; are there labels (n, 1)? Write y[:, 0]" if shape == (1,) else ""
        raise ValueError(f"per_example: the {name} of one example must be a scalar, got shape {shape}{hint}")
