"""`gdjax train`: from a table to a trained model and a folder that says how it came about."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from tqdm import tqdm

from gdjax import metrics as measures
from gdjax import record, stopping
from gdjax.cli.errors import UserError, user_mistakes
from gdjax.cli.specs import OptimizerRequest
from gdjax.data import Dataset, Scaling, fit_scaling, hash_of, load, split, standardize
from gdjax.loop import Evaluate, Result, fit, make_evaluate
from gdjax.losses import LOSSES, LossEntry, PerExample, per_example, supervised
from gdjax.models import ACTIVATIONS, MODELS, mlp, summary
from gdjax.nodes import Model, Optimizer, Rule
from gdjax.plots import boundary, confusion, curves, save
from gdjax.programs import bind, compiled
from gdjax.types import RunState, Stop

DEFAULT_EPOCHS = 200
DEFAULT_LOSSES = {
    "logistic_regression": "binary_cross_entropy_from_logits",
    "linear_svm": "hinge",
    "perceptron": "perceptron",
    "softmax_regression": "softmax_cross_entropy",
    "linear_regression": "squared_error",
}
TRAINABLE = ("mlp", *DEFAULT_LOSSES)
FITTING_LOSSES = tuple(
    name for name, loss in LOSSES.items() if loss.prediction == "score" and loss.labels != "distribution"
)


@dataclasses.dataclass(frozen=True)
class Train:
    """Train a model on a data set and write a run folder: config, metrics, result, parameters, pictures."""

    data: tyro.conf.Positional[str]
    """A name listed by `gdjax data`, or a .csv or .npz file."""
    target: str | None = None
    """The column (or array) of a file to predict; the last column (or "y") if not given."""
    task: Literal["classification", "regression"] | None = None
    """Of a file; found from the target if not given."""
    model: Literal[TRAINABLE] = "mlp"  # type: ignore[valid-type]
    hidden: tuple[int, ...] = (128, 64)
    """Sizes of the hidden layers of an mlp."""
    activation: Literal[tuple(sorted(ACTIVATIONS))] = "relu"  # type: ignore[valid-type]
    """Of an mlp's hidden units."""
    loss: Literal[FITTING_LOSSES] | None = None  # type: ignore[valid-type]
    """What fits the model and the task if not given: cross-entropy, squared error, hinge (linear_svm)..."""
    optimizer: str = "adam"
    """A call such as "adam(b1=0.95)"; `gdjax optimizers` lists them."""
    learning_rate: float | None = None
    """Of the optimizer, or of the schedule; the optimizer's own default if not given."""
    schedule: str | None = None
    """A call such as "cosine" or "cyclic(0.0001, 0.01, 200)"; what it leaves out is the rate and the run's length."""
    schedule_unit: Literal["steps", "epochs"] = "steps"
    """Of the schedule's lengths."""
    batch_size: int | None = None
    """Rows per step; 64, or all rows where there are fewer."""
    epochs: float | None = None
    """Longest run; 200 if neither epochs nor steps are given."""
    steps: int | None = None
    """Longest run in steps."""
    every: int | None = None
    """Steps between evaluations; one epoch if not given."""
    patience: int = 20
    """Evaluations without a better validation loss before the run stops."""
    min_delta: float = 0.0
    """Improvement of the validation loss that counts."""
    weight_decay: float | None = None
    """Decoupled decay of the weight matrices."""
    clip: float | None = None
    """Largest global norm of the gradient."""
    split: tuple[float, float, float] = (0.7, 0.15, 0.15)
    """Shares of training, validation and test rows; stratified for classes."""
    seed: int = 0
    """Of everything random: split, first parameters, order of rows."""
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    """Of the parameters."""
    device: Literal["cpu", "gpu", "tpu"] | None = None
    """What JAX finds best if not given."""
    out: Path | None = None
    """The run folder; runs/<data>-<n> if not given."""
    overwrite: bool = False
    """Replace the run folder if it is there."""
    quiet: bool = False
    """No progress bar, no summary."""

    def run(self, argv: list[str]) -> int:
        use_device(self.device, self.dtype)
        folder = self.out or next_folder(self.data)
        with contextlib.ExitStack() as stack:
            with user_mistakes():
                place = stack.enter_context(record.new_folder(folder, self.overwrite))
                parts = prepare(self)
                job = plan(self, parts)
            result = execute(self, job, parts)
            scores = {name: job.score(result, data) for name, data in parts.named().items()}
            write(place, self, argv, job, parts, result, scores)
        if not self.quiet:
            print(report(folder, job, parts, result, scores))
        if result.stop in (Stop.NON_FINITE, Stop.DIVERGED):
            print(
                f"gdjax: the run ended {result.stop.name}: try a smaller --learning-rate or --clip 1",
                file=sys.stderr,
            )
            return 1
        return 0


def use_device(device: str | None, dtype: str) -> None:
    """Before JAX looks for devices: which to use, and whether float64 exists."""
    jax.config.update("jax_enable_x64", dtype == "float64")
    if device is not None:
        jax.config.update("jax_platforms", {"gpu": "cuda,rocm", "cpu": "cpu", "tpu": "tpu"}[device])
    try:
        jax.devices()
    except RuntimeError as error:
        raise UserError(
            f"--device {device} is not to be had on this machine; leave it out for the best there is"
        ) from error


def next_folder(data: str) -> Path:
    """runs/<data>-<n>, the first that is free."""
    return next(
        path for n in itertools.count(1) if not (path := Path("runs") / f"{Path(data).stem}-{n}").exists()
    )


class Parts(NamedTuple):
    """The data, dealt out and in the units of training."""

    dataset: Dataset
    train: tuple[jax.Array, jax.Array]
    validation: tuple[jax.Array, jax.Array]
    test: tuple[jax.Array, jax.Array]
    scalings: dict[str, Scaling]

    def named(self) -> dict[str, tuple[jax.Array, jax.Array]]:
        return {"train": self.train, "validation": self.validation, "test": self.test}


def prepare(options: Train) -> Parts:
    """Load, split, and scale by what the training rows say; a regression's target too."""
    given = {"target": options.target, "task": options.task}
    dataset = load(options.data, **{name: value for name, value in given.items() if value is not None})
    return deal(dataset, options.split, options.seed, options.dtype)


def deal(dataset: Dataset, fractions: tuple[float, ...], seed: int, dtype: str) -> Parts:
    """The parts that follow from a seed; the same ones when a run is evaluated later."""
    classes = dataset.y if dataset.task == "classification" else None
    dealt = split(
        (dataset.x, dataset.y), fractions, jax.random.fold_in(jax.random.key(seed), 0), stratify=classes
    )
    scalings = {"inputs": fit_scaling(dealt[0][0])}
    if classes is None:
        scalings["target"] = fit_scaling(dealt[0][1])

    def scale(x, y):
        y = standardize(scalings["target"], y) if "target" in scalings else jnp.asarray(y)
        return standardize(scalings["inputs"], x).astype(dtype), y

    return Parts(dataset, *(scale(x, y) for x, y in dealt), scalings)


@dataclasses.dataclass(frozen=True)
class Job:
    """What is trained, by what, and how it is judged."""

    model: Model
    loss_name: str
    loss_fn: PerExample
    evaluate: Evaluate
    optimizer: Optimizer
    rule: Rule
    batch_size: int
    metric: str

    def score(self, result: Result, data: Any) -> dict[str, float]:
        scores = compiled(self.evaluate)(result.params, data)
        return {"loss": float(scores["loss"]), self.metric: float(scores[self.metric])}


def plan(options: Train, parts: Parts) -> Job:
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
    request = OptimizerRequest(
        options.optimizer,
        options.schedule,
        options.schedule_unit,
        options.learning_rate,
        options.weight_decay,
        options.clip,
    )
    return Job(
        model=model,
        loss_name=loss_name,
        loss_fn=loss_fn,
        evaluate=evaluate,
        optimizer=request.build(total_steps, steps_per_epoch),
        rule=stopping.patience(options.patience, options.min_delta),
        batch_size=batch_size,
        metric=metric,
    )


def objective(options: Train, dataset: Dataset) -> tuple[Model, str, PerExample, Evaluate, str]:
    """The model, the loss that fits it and the data, and how both are evaluated."""
    fallback = "softmax_cross_entropy" if dataset.task == "classification" else "squared_error"
    loss_name = options.loss or DEFAULT_LOSSES.get(options.model, fallback)
    entry = LOSSES[loss_name]
    if entry.task != dataset.task:
        raise ValueError(
            f"--loss {loss_name} is for {entry.task}, the target of {dataset.name} is one of {dataset.task}"
        )
    classes = len(dataset.target_names)
    if entry.labels in ("binary", "sign") and classes != 2:
        raise ValueError(f"--loss {loss_name} is for two classes, {dataset.name} has {classes}")
    model = build_model(options, dataset, entry)
    loss = relabelled(entry)
    if dataset.task == "regression":
        loss_fn = per_example(supervised(model, loss))
        return model, loss_name, loss_fn, make_evaluate(loss_fn, {"r2": measures.r2}, model.apply), "r2"
    loss_fn = per_example(supervised(model, loss, {"accuracy": measures.correct}))
    return model, loss_name, loss_fn, make_evaluate(loss_fn), "accuracy"


def build_model(options: Train, dataset: Dataset, loss: LossEntry) -> Model:
    features, classes = dataset.x.shape[1], len(dataset.target_names)
    outputs = classes if loss.labels == "class" else None
    if options.model == "mlp":
        return mlp((features, *options.hidden, outputs), activation=options.activation)
    takes_classes = options.model == "softmax_regression"
    if takes_classes != (outputs is not None):
        wanted = "scores per class" if outputs is not None else "one score"
        raise ValueError(
            f"--model {options.model} does not fit a loss that takes {wanted}; choose another --loss"
        )
    return MODELS[options.model](features, classes) if takes_classes else MODELS[options.model](features)


def relabelled(loss: LossEntry) -> Callable:
    """The loss as a function of labels 0 and 1, where it wants -1 and +1."""
    return bind(on_signs, loss.function) if loss.labels == "sign" else loss.function


def on_signs(loss: Callable, scores: jax.Array, labels: jax.Array) -> jax.Array:
    return loss(scores, 2 * labels - 1)


def execute(options: Train, job: Job, parts: Parts) -> Result:
    """The run, under a progress bar."""
    key = jax.random.fold_in(jax.random.key(options.seed), 1)
    params = compiled(job.model.init)(jax.random.fold_in(jax.random.key(options.seed), 2))
    params = jax.tree.map(lambda p: p.astype(options.dtype), params)
    length = {"steps": options.steps} if options.steps else {"epochs": options.epochs or DEFAULT_EPOCHS}
    with tqdm(
        unit=" evaluations", disable=True if options.quiet else None, file=sys.stderr, leave=False
    ) as bar:
        return fit(
            job.loss_fn,
            params,
            job.optimizer,
            parts.train,
            parts.validation,
            rule=job.rule,
            every=options.every,
            batch_size=job.batch_size,
            evaluate=job.evaluate,
            key=key,
            progress=lambda run_state: show_progress(bar, run_state, job.metric),
            **length,
        )


def show_progress(bar: tqdm, run_state: RunState, metric: str) -> None:
    done, capacity = int(run_state.evaluations), len(run_state.history["loss"])
    bar.total = capacity
    last = {name: float(values[done - 1]) for name, values in run_state.history.items()}
    shown = {
        "loss": last["loss"],
        "validation": last["validation_loss"],
        metric: last[f"validation_{metric}"],
    }
    bar.set_postfix({name: f"{value:.4g}" for name, value in shown.items()}, refresh=False)
    bar.update(done - bar.n)


def write(
    place: Path,
    options: Train,
    argv: list[str],
    job: Job,
    parts: Parts,
    result: Result,
    scores: dict[str, Any],
) -> None:
    """The files of the run folder."""
    dataset = parts.dataset
    record.write_json(
        place / "config.json",
        {
            "command": shlex.join(["gdjax", *argv]),
            "options": dataclasses.asdict(options),
            "data": {
                "name": dataset.name,
                "hash": hash_of(dataset),
                "task": dataset.task,
                "rows": {name: len(x) for name, (x, _) in parts.named().items()},
                "feature_names": dataset.feature_names,
                "target_names": dataset.target_names,
            },
            "model": repr(job.model),
            "loss": job.loss_name,
            "optimizer": repr(job.optimizer),
            "rule": repr(job.rule),
            "batch_size": job.batch_size,
            "seed": options.seed,
            "dtype": options.dtype,
            **record.environment(),
        },
    )
    record.write_history(place / "metrics.jsonl", result.history)
    record.write_json(
        place / "result.json",
        {
            "stop": result.stop.name,
            "epochs": result.epochs,
            "steps": result.steps,
            "seconds": result.seconds,
            "compile_seconds": result.compile_seconds,
            "monitor": result.monitor,
            "best_value": result.best_value,
            "best_epoch": best_epoch(result),
            "parameters": summary(result.params).total,
            **scores,
        },
    )
    record.write_arrays(place / "params.npz", result.params, parts.scalings)
    for name, picture in pictures(job, parts, result).items():
        save(picture, place / name)


def best_epoch(result: Result) -> float | None:
    return None if result.best_evaluation < 0 else float(result.history["epoch"][result.best_evaluation])


def pictures(job: Job, parts: Parts, result: Result) -> dict[str, Any]:
    """Curves always; the confusion matrix of the test rows for classes; the boundary where there are two features."""
    dataset = parts.dataset
    unit = "nats" if "cross_entropy" in job.loss_name else "standardised units" if job.metric == "r2" else ""
    label = job.loss_name.replace("_", " ") + (f" ({unit})" if unit else "")
    best = result.best_evaluation if result.best_evaluation >= 0 else None
    title = f"{dataset.name}: {job.optimizer}"
    made = {"curves.png": curves(result.history, best, title, job.metric, loss_label=label)}
    if dataset.task != "classification":
        return made
    apply = compiled(job.model.apply)
    x, y = parts.test
    counts = measures.confusion_counts(len(dataset.target_names))(apply(result.params, x), y)
    made["confusion.png"] = confusion(
        np.asarray(counts), dataset.target_names, f"{dataset.name}: {len(y)} test rows"
    )
    if x.shape[1] == 2:
        inputs = parts.scalings["inputs"]
        back = {
            name: (np.asarray(x * inputs.scale + inputs.mean), np.asarray(y))
            for name, (x, y) in parts.named().items()
        }

        def predict(points):
            return np.asarray(
                probabilities(job, apply(result.params, standardize(inputs, points).astype(x.dtype)))
            )

        made["boundary.png"] = boundary(
            predict,
            *back["train"],
            dataset.target_names,
            dataset.feature_names,
            back["test"],
            f"{dataset.name}: {job.model}",
        )
    return made


def probabilities(job: Job, scores: jax.Array) -> jax.Array:
    """Scores as probabilities where the loss gives them that meaning, else as they are."""
    scores = scores.astype(jnp.result_type(float))
    if job.loss_name == "softmax_cross_entropy":
        return jax.nn.softmax(scores)
    if job.loss_name in ("binary_cross_entropy_from_logits", "focal"):
        p = jax.nn.sigmoid(scores)
        return jnp.stack([1 - p, p], axis=-1)
    return scores


def report(folder: Path, job: Job, parts: Parts, result: Result, scores: dict[str, dict[str, float]]) -> str:
    """What a person wants to read at the end."""
    rows = {name: len(x) for name, (x, _) in parts.named().items()}
    lines = [
        f"{parts.dataset.name}: {job.model}, {summary(result.params).total} parameters, {job.optimizer}",
        str(result),
        "",
        f"  {'':<12}{'rows':>7}{'loss':>10}{job.metric:>10}",
        *(
            f"  {name:<12}{rows[name]:>7}{values['loss']:>10.4f}{values[job.metric]:>10.4f}"
            for name, values in scores.items()
        ),
        "",
        f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}",
    ]
    return "\n".join(lines)
