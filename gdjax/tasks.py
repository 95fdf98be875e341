"""Tasks: from the labels of a table follow the loss, the output layer of the model, the metric and the scaling.

    objective = choose(subject, "mlp", hidden=(128, 64))            the model, a loss that fits it, and the metric
    objective = make_objective(model, "hinge", "classification")    the same for a given model

Error messages name an argument as `argument=value`, in backquotes, so that the command line can rewrite it as an option.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import metrics
from gdjax.calls import Model
from gdjax.data import Scaling
from gdjax.losses import LOSSES, LossEntry, PerExample, per_example, supervised
from gdjax.models import MODELS, ensemble
from gdjax.models._ensemble import apply_members, members_state
from gdjax.models._fitted import Fitted, fitted, fitted_params
from gdjax.networks import NETWORKS, Rows, network, not_read
from gdjax.programs import bind, compile_once
from gdjax.training import Evaluate, Result, make_evaluate

# The loss of each model that has one of its own.
MODEL_LOSSES = {
    "logistic_regression": "binary_cross_entropy_from_logits",
    "linear_svm": "hinge",
    "perceptron": "perceptron",
    "softmax_regression": "softmax_cross_entropy_with_integer_labels",
    "linear_regression": "squared_error",
}
# The loss of a network, by its task.
TASK_LOSSES = {
    "classification": "softmax_cross_entropy_with_integer_labels",
    "regression": "squared_error",
}
TRAINABLE = (*NETWORKS, *MODEL_LOSSES)
FITTING_LOSSES = tuple(
    name for name, loss in LOSSES.items() if loss.prediction == "score" and loss.labels != "distribution"
)


class Subject(NamedTuple):
    """What is learned: a name for messages, the task, the number of features, the classes in the order of the labels, and
    the shape of the rows where they are images or series."""

    name: str
    task: str  # "classification" or "regression"
    features: int
    classes: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()


class Parts(NamedTuple):
    """Training, validation, calibration and test data, each (x, y) in the units of training."""

    train: tuple[jax.Array, jax.Array]
    validation: tuple[jax.Array, jax.Array]
    calibration: tuple[jax.Array, jax.Array]
    test: tuple[jax.Array, jax.Array]
    target: Scaling | None = None  # of the target of a regression

    def by_name(self) -> dict[str, tuple[jax.Array, jax.Array]]:
        """The parts that have rows."""
        parts = {name: getattr(self, name) for name in ("train", "validation", "calibration", "test")}
        return {name: data for name, data in parts.items() if len(data[0])}

    def rows(self) -> dict[str, int]:
        return {name: len(x) for name, (x, _) in self.by_name().items()}


@dataclasses.dataclass(frozen=True)
class Objective:
    """A model, its loss and its metric."""

    model: Model
    loss_name: str
    loss: PerExample
    evaluate: Evaluate
    metric: str  # reported besides the loss: accuracy or r2

    @property
    def fitted(self) -> Model:
        """The model after training."""
        return fitted(self.model)

    def params_of(self, result: Result) -> Any:
        """The parameters of the fitted model that a run has found."""
        return fitted_params(self.model, result.params, result.model_state)

    def scores(self, params: Any, data: Any) -> dict[str, float]:
        """The loss and the metric of parameters, those of the fitted model, on data."""
        params, state = params if isinstance(params, Fitted) and self.model.has_state else (params, ())
        found = compile_once(self.evaluate)(params, data, state)
        return {name: float(found[name]) for name in ("loss", self.metric)}


def choose(
    subject: Subject,
    model: str = "mlp",
    loss: str | None = None,
    members: int = 1,
    class_weights: Sequence[float] = (),
    **words: Any,
) -> Objective:
    """The model of a name, with a loss that fits it and the labels, and the metric.

    Args:
        model: one of TRAINABLE.
        loss: one of FITTING_LOSSES; None is the default of the model and the task.
        members: models of that name in an ensemble.
        class_weights: one per class, by which the loss weighs its examples; () for equal ones.
        **words: what is said of a network, such as hidden=(128, 64); see `gdjax.networks`.

    Raises: ValueError if the model, the loss and the labels do not fit each other.
    """
    loss_name = loss or MODEL_LOSSES.get(model, TASK_LOSSES[subject.task])
    entry = LOSSES[loss_name]
    _check(subject, entry, f"`loss={loss}`" if loss else f"`model={model}`", own=loss is None)
    outputs = len(subject.classes) if entry.labels == "class" else None
    if model not in NETWORKS and (model == "softmax_regression") != (outputs is not None):
        wanted = "scores per class" if outputs is not None else "one score"
        raise ValueError(f"`model={model}` does not fit `loss={loss}`, which takes {wanted}; leave `loss` out")
    built = _build(model, subject, outputs, words)
    return make_objective(built, loss_name, subject.task, members, class_weights)


def make_objective(
    model: Model, loss_name: str, task: str, members: int = 1, class_weights: Sequence[float] = ()
) -> Objective:
    """A model with a loss of the catalogue; the metric of a regression is r2, that of a classification the accuracy.

    Of an ensemble, each member is trained by its own loss, and what is evaluated is the loss of their average.
    """
    loss = _of_labels(LOSSES[loss_name])
    whole = model if members == 1 else ensemble(model, members, _average(LOSSES[loss_name]))
    measured = {"accuracy": metrics.correct} if task == "classification" else {}
    weight = bind(weight_of_class, tuple(class_weights)) if len(class_weights) else None
    loss_fn = per_example(supervised(whole, loss, measured), weight)
    if task == "regression":
        evaluate, metric = make_evaluate(loss_fn, {"r2": metrics.r2}, whole), "r2"
    else:
        evaluate, metric = make_evaluate(loss_fn), "accuracy"
    if members > 1:
        of_each = {name: bind(over_members, metric_of_one) for name, metric_of_one in measured.items()}
        loss_fn = per_example(supervised(Members(model, members), bind(over_members, loss), of_each), weight)
    return Objective(whole, loss_name, loss_fn, evaluate, metric)


@dataclasses.dataclass(frozen=True)
class Members:
    """The members of an ensemble side by side: the same parameters, and the output of each for one example, (k, ...)."""

    member: Model
    number: int

    @property
    def has_state(self) -> bool:
        return self.member.has_state

    def init_state(self) -> Any:
        return members_state(self.member, self.number)

    def apply(self, params: Any, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        return apply_members(self.member, self.number, params, (), x, key)[0]

    def apply_with_state(
        self, params: Any, state: Any, x: Any, key: jax.Array | None = None, weight: Any = None
    ) -> tuple[jax.Array, Any]:
        outputs, state = apply_members(self.member, self.number, params, state, x, key, weight)
        return jnp.moveaxis(outputs, 0, 1), state


def _average(loss: LossEntry) -> str:
    """How the outputs of members become one: by their probabilities, where the loss defines them."""
    if loss.probabilities is None:
        return "outputs"
    return "softmax" if loss.labels == "class" else "sigmoid"


def weight_of_class(weights: tuple[float, ...], example: tuple[jax.Array, jax.Array]) -> jax.Array:
    return jnp.asarray(weights, jnp.float32)[example[1]]


def over_members(function: Callable[..., Any], outputs: jax.Array, y: jax.Array) -> jax.Array:
    """The mean over the members of a function of their output and the label."""
    return jnp.mean(jax.vmap(function, (0, None))(outputs, y))


def _check(subject: Subject, entry: LossEntry, asked: str, own: bool) -> None:
    """Raise ValueError if a loss, the requested or the model's own, is not defined for these labels."""
    if entry.task != subject.task:
        fits = f"; `model={' or '.join(_models_for(subject.task))}` fits it" if own else ""
        raise ValueError(f"{asked} is for {entry.task}, the target of {subject.name} asks for {subject.task}{fits}")
    classes = len(subject.classes)
    if subject.task == "classification" and classes < 2:
        alone = subject.classes[0]
        raise ValueError(f"the target of {subject.name} must have at least two classes, got {alone} alone")
    if entry.labels in ("binary", "sign") and classes != 2:
        fits = "; `model=mlp or softmax_regression` takes any number" if own else ""
        raise ValueError(f"{asked} is for two classes, {subject.name} has {classes}{fits}")


def _models_for(task: str) -> list[str]:
    return ["mlp", *(model for model, loss in MODEL_LOSSES.items() if LOSSES[loss].task == task)]


def _build(model: str, subject: Subject, outputs: int | None, words: Mapping[str, Any]) -> Model:
    """The model, with as many outputs as the loss needs: a score per class, or one number."""
    features = subject.features
    if model in NETWORKS:
        return network(model, Rows(features, subject.shape), outputs, words)
    for word in (word for word, value in words.items() if value is not None):
        raise ValueError(not_read(word, model))
    return MODELS[model](features) if outputs is None else MODELS[model](features, outputs)


def _of_labels(loss: LossEntry) -> Callable[..., Any]:
    """The loss as a function of labels 0 and 1, if it is defined for -1 and +1."""
    return bind(on_signs, loss.function) if loss.labels == "sign" else loss.function


def on_signs(loss: Callable[..., Any], scores: jax.Array, labels: jax.Array) -> jax.Array:
    return loss(scores, 2 * labels - 1)
