"""What `gdjax train` is going to do: the data dealt out, the model, loss and optimizer chosen and checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import metrics, stopping
from gdjax.backprop import Flow, Watch, watch
from gdjax.calls.node import Condition, Model, Optimizer
from gdjax.cli.options import DEFAULT_EPOCHS, DEFAULT_LOSSES, DEFAULT_OPTIMIZER, Options
from gdjax.cli.specs import OptimizerRequest
from gdjax.data import Dataset, Scaling, fit_scaling, load, split, standardize
from gdjax.losses import LOSSES, LossEntry, PerExample, per_example, supervised
from gdjax.models import MODELS, mlp
from gdjax.programs import bind, compiled
from gdjax.training import Evaluate, Result, make_evaluate


class Parts(NamedTuple):
    """The data, dealt out and in the units of training."""

    dataset: Dataset
    train: tuple[jax.Array, jax.Array]
    validation: tuple[jax.Array, jax.Array]
    test: tuple[jax.Array, jax.Array]
    scalings: dict[str, Scaling]

    def named(self) -> dict[str, tuple[jax.Array, jax.Array]]:
        return {"train": self.train, "validation": self.validation, "test": self.test}


def prepare(options: Options) -> Parts:
    """Load, split, and scale by what the training rows say; a regression's target too."""
    given = {"target": options.target, "task": options.task}
    dataset = load(options.data, **{name: value for name, value in given.items() if value is not None})
    return deal(dataset, options.split, options.seed, options.dtype)


def deal(dataset: Dataset, fractions: tuple[float, ...], seed: int, dtype: str) -> Parts:
    """The parts that follow from a seed; the same ones when a run is evaluated later."""
    classes = dataset.y if dataset.task == "classification" else None
    dealt = split((dataset.x, dataset.y), fractions, jax.random.fold_in(jax.random.key(seed), 0), stratify=classes)
    scalings = {"inputs": fit_scaling(dealt[0][0])}
    if classes is None:
        scalings["target"] = fit_scaling(dealt[0][1])

    def scale(x, y):  # tables are float64 up to here
        y = standardize(scalings["target"], y) if "target" in scalings else jnp.asarray(y)
        return standardize(scalings["inputs"], x).astype(dtype), y

    train, validation, test = (scale(x, y) for x, y in dealt)
    return Parts(dataset, train, validation, test, scalings)


@dataclasses.dataclass(frozen=True)
class Job:
    """What is trained, by what, and how it is judged."""

    model: Model
    loss_name: str
    loss_fn: PerExample
    evaluate: Evaluate
    optimizer: Optimizer
    stop: Condition
    batch_size: int
    metric: str
    watch: Watch | None = None

    def flow(self, result: Result) -> Flow | None:
        """What the run has seen of the gradient's way, if it was asked to look."""
        return self.watch.seen(result.history) if self.watch and len(result.history["loss"]) else None

    def score(self, result: Result, data: Any) -> dict[str, float]:
        scores = compiled(self.evaluate)(result.params, data)
        return {"loss": float(scores["loss"]), self.metric: float(scores[self.metric])}


def plan(options: Options, parts: Parts) -> Job:
    """Choose and check everything before the first step."""
    rows = len(parts.train[0])
    batch_size = min(64, rows) if options.batch_size is None else options.batch_size
    if not 1 <= batch_size <= rows:
        raise ValueError(f"--batch-size must be between 1 and the {rows} training rows, got {batch_size}")
    for name in ("epochs", "steps", "every"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name} must be above 0, got {value:g}")
    if options.epochs is not None and options.steps is not None:
        raise ValueError("give --epochs or --steps, not both")
    model, loss_name, loss_fn, evaluate, metric = objective(options, parts.dataset)
    steps_per_epoch = -(-rows // batch_size)
    total_steps = options.steps or math.ceil((options.epochs or DEFAULT_EPOCHS) * steps_per_epoch)
    default = DEFAULT_OPTIMIZER if options.weight_decay is None else "adam"
    request = OptimizerRequest(
        options.optimizer or default,
        options.schedule,
        options.schedule_unit,
        options.learning_rate,
        options.weight_decay,
        options.clip,
    )
    optimizer = request.build(total_steps, steps_per_epoch)
    jax.eval_shape(optimizer.init, parameters(options, model))  # refuses a pattern that matches no parameter
    return Job(
        model=model,
        loss_name=loss_name,
        loss_fn=loss_fn,
        evaluate=evaluate,
        optimizer=optimizer,
        stop=stopping.patience(options.patience, options.min_delta),
        batch_size=batch_size,
        metric=metric,
        watch=watch_of(options, model, loss_fn, parts, batch_size) if options.flow else None,
    )


def watch_of(options: Options, model: Model, loss_fn: PerExample, parts: Parts, batch_size: int) -> Watch:
    """A look at the first step of each period between two evaluations."""
    rows = len(parts.train[0])
    params = parameters(options, model)
    batch = jax.tree.map(lambda x: x[:batch_size], parts.train)
    return watch(loss_fn, params, batch, every=options.every or -(-rows // batch_size))


def parameters(options: Options, model: Model) -> Any:
    """Their shapes and dtypes."""
    made = lambda key: jax.tree.map(lambda p: p.astype(options.dtype), model.init(key))  # noqa: E731
    return jax.eval_shape(made, jax.random.key(0))


def objective(options: Options, dataset: Dataset) -> tuple[Model, str, PerExample, Evaluate, str]:
    """The model, the loss that fits it and the data, and how both are evaluated."""
    fallback = "softmax_cross_entropy" if dataset.task == "classification" else "squared_error"
    loss_name = options.loss or DEFAULT_LOSSES.get(options.model, fallback)
    entry = LOSSES[loss_name]
    asked = f"--loss {loss_name}" if options.loss else f"--model {options.model}"
    if entry.task != dataset.task:
        fits = "" if options.loss else f"; --model {' or '.join(_models_for(dataset.task))} fits it"
        raise ValueError(f"{asked} is for {entry.task}, the target of {dataset.name} asks for {dataset.task}{fits}")
    classes = len(dataset.target_names)
    if dataset.task == "classification" and classes < 2:
        raise ValueError(
            f"the target of {dataset.name} must have at least two classes, got {dataset.target_names[0]} alone"
        )
    if entry.labels in ("binary", "sign") and classes != 2:
        fits = "" if options.loss else "; --model mlp or softmax_regression takes any number"
        raise ValueError(f"{asked} is for two classes, {dataset.name} has {classes}{fits}")
    model = build_model(options, dataset, entry)
    loss = relabelled(entry)
    if dataset.task == "regression":
        loss_fn = per_example(supervised(model, loss))
        return model, loss_name, loss_fn, make_evaluate(loss_fn, {"r2": metrics.r2}, model.apply), "r2"
    loss_fn = per_example(supervised(model, loss, {"accuracy": metrics.correct}))
    return model, loss_name, loss_fn, make_evaluate(loss_fn), "accuracy"


def _models_for(task: str) -> list[str]:
    return ["mlp", *(model for model, loss in DEFAULT_LOSSES.items() if LOSSES[loss].task == task)]


def build_model(options: Options, dataset: Dataset, loss: LossEntry) -> Model:
    features, classes = dataset.x.shape[1], len(dataset.target_names)
    outputs = classes if loss.labels == "class" else None
    if options.model == "mlp":
        return mlp((features, *options.hidden, outputs), activation=options.activation)
    takes_classes = options.model == "softmax_regression"
    if takes_classes != (outputs is not None):
        wanted = "scores per class" if outputs is not None else "one score"
        raise ValueError(
            f"--model {options.model} does not fit --loss {options.loss}, which takes {wanted}; leave --loss out"
        )
    return MODELS[options.model](features, classes) if takes_classes else MODELS[options.model](features)


def relabelled(loss: LossEntry) -> Callable:
    """The loss as a function of labels 0 and 1, where it wants -1 and +1."""
    return bind(on_signs, loss.function) if loss.labels == "sign" else loss.function


def on_signs(loss: Callable, scores: jax.Array, labels: jax.Array) -> jax.Array:
    return loss(scores, 2 * labels - 1)
