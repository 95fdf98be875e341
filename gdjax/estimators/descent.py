"""The two descents of the estimators: on all rows at once until the gradient is zero, or in batches, epoch by epoch."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning

from gdjax import stopping
from gdjax.calls import Condition, Model, Optimizer
from gdjax.data import split
from gdjax.estimators.columns import room_for_rows
from gdjax.estimators.estimator import Estimator, Rows, is_scheduled
from gdjax.losses import PerExample, per_example, supervised
from gdjax.solve import minimize
from gdjax.training import Fitting, Length, Result, fit, make_evaluate
from gdjax.types import Metrics, Params, Stop, TrainState

STEPS_KEPT, NUMBERS_KEPT = 100, 10_000_000  # of a descent on all rows, for loss_curve_


class Problem(NamedTuple):
    """What is minimized, and how: the weighted mean of loss(model(x), y) and a penalty on the parameters."""

    model: Model
    loss: Callable[..., Any]
    penalty: Callable[[Params], Any]
    optimizer: Optimizer


class Descent(NamedTuple):
    """What a descent has found."""

    params: Params  # of NumPy
    iterations: int  # steps on all rows, or epochs
    stop: Stop
    losses: list[float]
    validation_losses: list[float] | None = None
    last: TrainState | None = None  # of NumPy; None of a descent on all rows


@dataclasses.dataclass(frozen=True, eq=False)
class SquaredNorm:
    """sum strength w² over all weights, which are matrices; biases are free."""

    strength: jax.Array  # () or (rows of w, 1); of JAX, so that another one compiles nothing

    def __call__(self, params: Params) -> jax.Array:
        return sum(jnp.sum(self.strength * w**2) for w in jax.tree.leaves(params) if w.ndim > 1)  # type: ignore[return-value]


@dataclasses.dataclass(frozen=True)
class Weighted:
    """A loss of one example (x, y) as one of (x, y, weight): weight loss."""

    loss: Any

    def __call__(self, params: Params, example: Any, key: Any = None) -> tuple[jax.Array, Metrics]:
        x, y, weight = example
        value, metrics = self.loss(params, (x, y), key)
        return weight * value, metrics


@dataclasses.dataclass(frozen=True)
class Objective:
    """A loss of a batch as a function for `minimize`."""

    loss: PerExample

    def __call__(self, params: Params, *batch: Any) -> jax.Array:
        return self.loss(params, batch)[0]


def weighted_loss(problem: Problem, penalty: Any) -> PerExample:
    """The mean of weight loss over the rows (x, y, weight) of a batch, and a penalty."""
    return per_example(Weighted(supervised(problem.model, problem.loss)), penalty=penalty)


def batch_of(rows: Rows, size: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, y, weight), the weights 1 on average.

    Args:
        size: the number of rows, at least those there are: copies of the last that weigh nothing are added.
    """
    n = len(rows.weights)
    size = n if size is None else size
    weights = np.zeros(size)
    weights[:n] = rows.weights * (size / rows.weights.sum())
    x, y = (np.concatenate([part, np.repeat(part[-1:], size - n, axis=0)]) for part in (rows.x, rows.y))
    return x, y, weights.astype(x.dtype)


def descend(estimator: Estimator, problem: Problem, rows: Rows) -> Descent:
    """Minimize over a linear model, from zero and on all rows at once, until the norm of the gradient is at most tol."""
    shapes = jax.eval_shape(problem.model.init, jax.random.key(0))
    start = {name: np.zeros(x.shape) for name, x in shapes.items()}
    found = minimize(
        Objective(weighted_loss(problem, problem.penalty)),
        start,
        problem.optimizer,
        stop=stopping.gradient_norm(estimator.tol),
        max_steps=estimator.max_iter,
        record=max(2, min(STEPS_KEPT, NUMBERS_KEPT // sum(x.size for x in start.values()))),
        args=batch_of(rows, room_for_rows(len(rows.y))),
    )
    stop = Stop(int(found.stop))
    if stop == Stop.BUDGET and not is_scheduled(problem.optimizer):
        said = f"after max_iter={estimator.max_iter} steps the norm of the gradient was {float(found.grad_norm):.2g}"
        warn(estimator, f"{said}, above tol={estimator.tol:g}; raise max_iter or take another optimizer")
    warn_of_divergence(estimator, stop)
    assert found.path is not None
    return Descent(on_host(found.params), max(1, int(found.steps)), stop, np.asarray(found.path.value).tolist())


def descend_in_batches(
    estimator: Estimator, problem: Problem, start: Params, rows: Rows, batch_size: int, seed: int
) -> Descent:
    """Train until the loss, that of the rows held out if there are any, no longer falls.

    The parameters are those of the best validation loss, else the last.
    """
    rows, held_out = hold_out(estimator, rows, seed) if estimator.early_stopping else (rows, None)
    data, size = in_batches(rows, batch_size)
    result = fit(
        weighted_loss(problem, problem.penalty),
        start,
        problem.optimizer,
        data,
        None if held_out is None else batch_of(held_out),
        epochs=estimator.max_iter,
        batch_size=size,
        stop=_patience(estimator),
        evaluate=None if held_out is None else make_evaluate(weighted_loss(problem, None)),
        key=seed,
        keep_best=held_out is not None,
    )
    if result.stop == Stop.BUDGET and not is_scheduled(problem.optimizer):
        warn(estimator, f"the loss still fell after max_iter={estimator.max_iter} epochs; raise max_iter")
    return found(estimator, result)


def go_on(
    estimator: Estimator, problem: Problem, start: Params, rows: Rows, batch_size: int, seed: int, before: Any
) -> Descent:
    """One more epoch, from the TrainState in which the last one ended, or the first one if that is None."""
    data, size = in_batches(rows, batch_size)
    per_epoch = math.ceil(len(data[-1]) / size)
    epochs = 0 if before is None else math.ceil(int(before.batches) / per_epoch)  # of so many rows
    loss, length = weighted_loss(problem, problem.penalty), Length(steps=(epochs + 1) * per_epoch)
    stop = _patience(estimator)  # which one epoch cannot wear out: the program is that of a fit
    fitting = Fitting(loss, start, problem.optimizer, data, None, length, size, stop=stop, key=seed, keep_best=False)
    if before is not None:
        state = before._replace(batches=np.int32(epochs * per_epoch))
        fitting.go_on_from(fitting.run_state._replace(state=state))
    for _ in fitting.segments():
        pass
    return found(estimator, fitting.result())


def _patience(estimator: Estimator) -> Condition:
    return stopping.patience(estimator.n_iter_no_change, estimator.tol)


def in_batches(rows: Rows, batch_size: int) -> tuple[Any, int]:
    """The rows as data, and the size of their batches; what fits into one batch is one."""
    n = len(rows.weights)
    data = batch_of(rows, n if n > batch_size else room_for_rows(n))
    return data, min(batch_size, n) if n > batch_size else len(data[-1])


def hold_out(estimator: Estimator, rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """Training and validation rows, stratified by class."""
    share = estimator.validation_fraction
    labels = rows.y if is_classifier(estimator) else None
    try:
        train, held_out = split(tuple(rows), (1 - share, share), jax.random.key(seed), stratify=labels)
    except ValueError:
        raise ValueError(
            f"{type(estimator).__name__}: early_stopping must have rows to train and to validate on, got "
            f"{len(rows.weights)} rows and validation_fraction={share:g}"
        ) from None
    return Rows(*train), Rows(*held_out)


def found(estimator: Estimator, result: Result) -> Descent:
    warn_of_divergence(estimator, result.stop)
    validation = result.history.get("validation_loss")
    return Descent(
        on_host(result.params),
        len(result.history["loss"]),
        result.stop,
        result.history["loss"].tolist(),
        None if validation is None else validation.tolist(),
        on_host(result.last),
    )


def on_host(tree: Any) -> Any:
    """The tree with NumPy arrays, which keep their dtype wherever they are read again; keys stay what they are."""
    is_key = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)  # noqa: E731
    return jax.tree.map(lambda x: x if is_key(x) else np.asarray(x), tree)


def warn_of_divergence(estimator: Estimator, stop: Stop) -> None:
    if stop in (Stop.DIVERGED, Stop.NON_FINITE):
        warn(estimator, f"the descent ended as {stop.name}; take a smaller learning rate")


def warn(estimator: Estimator, text: str) -> None:
    warnings.warn(f"{type(estimator).__name__}: {text}", ConvergenceWarning, stacklevel=2)
