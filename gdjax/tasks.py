"""Tasks: from the labels of a table follow the loss, the output layer of the model, the metric and the scaling.

    parts     = deal(dataset, (0.7, 0.15, 0.15), seed=0)            rows split at random, scaled by the training rows
    objective = choose(dataset, "mlp", hidden=(128, 64))            the model, a loss that fits it, and the metric
    objective = make_objective(model, "hinge", "classification")    the same for a given model

Error messages name an argument as `argument=value`, in backquotes, so that the command line can rewrite it as an option.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import metrics
from gdjax.calls import Model
from gdjax.data import Dataset, Scaling, fit_scaling, split, standardize
from gdjax.losses import LOSSES, LossEntry, PerExample, per_example, supervised
from gdjax.models import MODELS, mlp
from gdjax.programs import bind, compile_once
from gdjax.training import Evaluate, make_evaluate

# The loss of each model that has one of its own.
MODEL_LOSSES = {
    "logistic_regression": "binary_cross_entropy_from_logits",
    "linear_svm": "hinge",
    "perceptron": "perceptron",
    "softmax_regression": "softmax_cross_entropy_with_integer_labels",
    "linear_regression": "squared_error",
}
# The loss of an mlp, by its task.
TASK_LOSSES = {
    "classification": "softmax_cross_entropy_with_integer_labels",
    "regression": "squared_error",
}
TRAINABLE = ("mlp", *MODEL_LOSSES)
FITTING_LOSSES = tuple(
    name for name, loss in LOSSES.items() if loss.prediction == "score" and loss.labels != "distribution"
)


class Parts(NamedTuple):
    """Training, validation and test data, in the units of training."""

    train: tuple[jax.Array, jax.Array]
    validation: tuple[jax.Array, jax.Array]
    test: tuple[jax.Array, jax.Array]
    scalings: dict[str, Scaling]

    def by_name(self) -> dict[str, tuple[jax.Array, jax.Array]]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def rows(self) -> dict[str, int]:
        return {name: len(x) for name, (x, _) in self.by_name().items()}


def deal(dataset: Dataset, fractions: Sequence[float], seed: int, dtype: str = "float32") -> Parts:
    """Split the rows at random and standardize the inputs, and the target of a regression, by the training rows.

    Args:
        fractions: shares of training, validation and test rows; the split is stratified by class.
        dtype: the dtype of the inputs.
    """
    classes = dataset.y if dataset.task == "classification" else None
    key = jax.random.fold_in(jax.random.key(seed), 0)
    dealt = split((dataset.x, dataset.y), tuple(fractions), key, stratify=classes)
    scalings = {"inputs": fit_scaling(dealt[0][0])}
    if classes is None:
        scalings["target"] = fit_scaling(dealt[0][1])

    def scale(x, y):  # tables are float64 up to here
        y = standardize(scalings["target"], y) if "target" in scalings else jnp.asarray(y)
        return standardize(scalings["inputs"], x).astype(dtype), y

    train, validation, test = (scale(x, y) for x, y in dealt)
    return Parts(train, validation, test, scalings)


@dataclasses.dataclass(frozen=True)
class Objective:
    """A model, its loss and its metric."""

    model: Model
    loss_name: str
    loss: PerExample
    evaluate: Evaluate
    metric: str  # reported besides the loss: accuracy or r2

    def scores(self, params: Any, data: Any) -> dict[str, float]:
        """The loss and the metric of parameters on data."""
        found = compile_once(self.evaluate)(params, data)
        return {name: float(found[name]) for name in ("loss", self.metric)}


def choose(
    dataset: Dataset,
    model: str = "mlp",
    loss: str | None = None,
    hidden: Sequence[int] = (128, 64),
    activation: str = "relu",
) -> Objective:
    """The model of a name, with a loss that fits it and the labels, and the metric.

    Args:
        model: one of TRAINABLE.
        loss: one of FITTING_LOSSES; None is the default of the model and the task.
        hidden, activation: hidden layer sizes and activation of an mlp.

    Raises: ValueError if the model, the loss and the labels do not fit each other.
    """
    loss_name = loss or MODEL_LOSSES.get(model, TASK_LOSSES[dataset.task])
    entry = LOSSES[loss_name]
    _check(dataset, entry, f"`loss={loss}`" if loss else f"`model={model}`", own=loss is None)
    outputs = len(dataset.target_names) if entry.labels == "class" else None
    if model != "mlp" and (model == "softmax_regression") != (outputs is not None):
        wanted = "scores per class" if outputs is not None else "one score"
        raise ValueError(f"`model={model}` does not fit `loss={loss}`, which takes {wanted}; leave `loss` out")
    return make_objective(_build(model, dataset, outputs, hidden, activation), loss_name, dataset.task)


def make_objective(model: Model, loss_name: str, task: str) -> Objective:
    """A model with a loss of the catalogue; the metric of a regression is r2, that of a classification the accuracy."""
    loss = _of_labels(LOSSES[loss_name])
    if task == "regression":
        loss_fn = per_example(supervised(model, loss))
        return Objective(model, loss_name, loss_fn, make_evaluate(loss_fn, {"r2": metrics.r2}, model.apply), "r2")
    loss_fn = per_example(supervised(model, loss, {"accuracy": metrics.correct}))
    return Objective(model, loss_name, loss_fn, make_evaluate(loss_fn), "accuracy")


def _check(dataset: Dataset, entry: LossEntry, asked: str, own: bool) -> None:
    """Raise ValueError if a loss, the requested or the model's own, is not defined for these labels."""
    if entry.task != dataset.task:
        fits = f"; `model={' or '.join(_models_for(dataset.task))}` fits it" if own else ""
        raise ValueError(f"{asked} is for {entry.task}, the target of {dataset.name} asks for {dataset.task}{fits}")
    classes = len(dataset.target_names)
    if dataset.task == "classification" and classes < 2:
        alone = dataset.target_names[0]
        raise ValueError(f"the target of {dataset.name} must have at least two classes, got {alone} alone")
    if entry.labels in ("binary", "sign") and classes != 2:
        fits = "; `model=mlp or softmax_regression` takes any number" if own else ""
        raise ValueError(f"{asked} is for two classes, {dataset.name} has {classes}{fits}")


def _models_for(task: str) -> list[str]:
    return ["mlp", *(model for model, loss in MODEL_LOSSES.items() if LOSSES[loss].task == task)]


def _build(model: str, dataset: Dataset, outputs: int | None, hidden: Sequence[int], activation: str) -> Model:
    """The model, with as many outputs as the loss needs: a score per class, or one number."""
    features = dataset.x.shape[1]
    if model == "mlp":
        return mlp((features, *hidden, outputs), activation=activation)
    return MODELS[model](features) if outputs is None else MODELS[model](features, outputs)


def _of_labels(loss: LossEntry) -> Callable[..., Any]:
    """The loss as a function of labels 0 and 1, if it is defined for -1 and +1."""
    return bind(on_signs, loss.function) if loss.labels == "sign" else loss.function


def on_signs(loss: Callable[..., Any], scores: jax.Array, labels: jax.Array) -> jax.Array:
    return loss(scores, 2 * labels - 1)
