"""What a run takes where its options leave it open: by the model, the task and the number of training rows."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from gdjax.losses import LOSSES
from gdjax.networks import NETWORKS
from gdjax.optimizers.request import OptimizerRequest
from gdjax.runs.job import Settings
from gdjax.runs.options import TrainOptions
from gdjax.tasks import MODEL_LOSSES, Subject

MEMBERS = 4  # networks in an ensemble
FEW_ROWS = 1000  # training rows below which nothing is chosen by validation loss
PATIENCE = 20  # evaluations, under a rate that does not follow the length of the run
DECAYS = (0.01, 0.3, 1.0)
DECAYS_OF_FEW = {"classification": 3.0, "regression": 6.0}  # numbers are fitted to their noise more than labels are
NUMBERS = ("standardized", "piecewise_linear")
PIXELS = ("pixels",)
LEAST = {"learning_rate": 0, "weight_decay": 0, "clip": 0, "patience": 1}
WHOLE_BATCHES = 500  # steps of lbfgs at most
MANY_ROWS = 20_000  # from which on a number of epochs is one of passes in batches
LINEAR_RATE = 0.01  # of adam
SMOOTH = ("linear_regression", "logistic_regression", "softmax_regression")  # models whose minimum lbfgs finds
WITH_ERRORS = ("linear_regression", "logistic_regression")  # of their coefficients, which hold at the minimum


class Choice(NamedTuple):
    """What is chosen by validation loss where the options leave it open."""

    numbers: str
    weight_decay: float | None  # None: that of the optimizer that was asked for

    def __str__(self) -> str:
        return f"{self.numbers} numbers" + (
            "" if self.weight_decay is None else f" and a decay of {self.weight_decay:g}"
        )


def choices(options: TrainOptions, rows: int, task: str, pixels: bool = False) -> tuple[Choice, ...]:
    """The choices that the options leave open, for so many training rows; one where there is nothing to choose.

    Args:
        pixels: whether the rows are images or series, which have one encoding.
    """
    known = PIXELS if pixels else NUMBERS
    is_open = _takes_decay(options)
    given = options.weight_decay
    is_small = options.quick or rows < FEW_ROWS
    if options.tune == "none" or (options.tune is None and is_small) or options.model != "mlp":
        decay = decay_of(options.model, rows, task) if is_open else given
        return (Choice(options.numbers or known[0], decay),)
    decays = DECAYS if is_open else (given,)
    numbers = known if options.numbers is None else (options.numbers,)
    return tuple(Choice(each, decay) for each in numbers for decay in decays)


def _takes_decay(options: TrainOptions) -> bool:
    """Whether the decay is left to us: neither it nor an optimizer is given."""
    return options.optimizer is None and options.weight_decay is None


def decay_of(model: str, rows: int, task: str) -> float:
    """The decay that is not tuned: strong for a network on few rows, 0.01 from some 20,000 on; none for a linear model."""
    if model not in NETWORKS:
        return 0.0
    return DECAYS_OF_FEW[task] if rows < FEW_ROWS else float(np.clip((FEW_ROWS / rows) ** 1.5, 0.01, 1.0))


def members(options: TrainOptions) -> int:
    if options.ensemble is not None:
        if options.ensemble < 1:
            raise ValueError(f"`ensemble` must be at least 1, got {options.ensemble}")
        return options.ensemble
    return MEMBERS if options.model == "mlp" and not options.flow else 1


def settings(options: TrainOptions, choice: Choice, rows: int) -> Settings:
    """The settings of the run, for so many training rows."""
    for name, least in LEAST.items():
        if (value := getattr(options, name)) is not None and not value >= least:
            raise ValueError(f"`{name}` must be at least {least}, got {value:g}")
    asked = {field.name: getattr(options, field.name) for field in dataclasses.fields(OptimizerRequest)}
    names = [field.name for field in dataclasses.fields(Settings) if field.name not in ("optimizer", "to_minimum")]
    found = {name: getattr(options, name) for name in names}
    by_default = options.optimizer is None and options.schedule is None
    unsaid = options.epochs is None and options.steps is None
    if by_default and _takes_whole_batch(options, rows):
        asked["optimizer"], found["batch_size"] = "lbfgs", rows
        found["epochs"] = WHOLE_BATCHES if unsaid else options.epochs
        found["to_minimum"] = options.model in WITH_ERRORS
    else:
        asked["optimizer"] = options.optimizer or "adam"
        asked["schedule"] = "cosine" if by_default else options.schedule
        asked["weight_decay"] = choice.weight_decay or options.weight_decay
        if options.optimizer is None and options.learning_rate is None:
            asked["learning_rate"] = rate_of(options, rows)
        found["batch_size"] = min(batch_of(rows), rows) if options.batch_size is None else options.batch_size
        found["epochs"] = epochs_of(rows) if unsaid else options.epochs
    if options.patience is None:
        found["patience"] = None if by_default else PATIENCE
    return Settings(OptimizerRequest(**asked), **found)


def _takes_whole_batch(options: TrainOptions, rows: int) -> bool:
    """Whether lbfgs looks for the minimum of a linear model's own loss: nothing is said of steps, or there are few rows."""
    said = ["batch_size", "learning_rate", "clip", "weight_decay"]
    said += [] if rows < MANY_ROWS else ["epochs", "steps"]
    own = options.loss in (None, MODEL_LOSSES.get(options.model))
    is_open = all(getattr(options, name) is None for name in said)
    is_open &= options.microbatches == 1 and options.order != "replacement"  # which leaves out rows of a whole batch
    return options.model in SMOOTH and own and is_open


# Rate, batch and length of a network: found on ten tables by `experiments/bench/tables.py`, with three splits each.
def rate_of(options: TrainOptions, rows: int) -> float | None:
    """The rate of adam under its cosine; None where a schedule is given that has its own."""
    if options.schedule is not None:
        return None
    if options.model not in NETWORKS:
        return LINEAR_RATE
    return 1e-3 if rows < FEW_ROWS else 2e-3


def batch_of(rows: int) -> int:
    return 32 if rows < FEW_ROWS else 128 if rows < MANY_ROWS else 256


def epochs_of(rows: int) -> int:
    return int(np.clip(200_000 // rows, 20, 120) if rows < 50_000 else np.clip(1_000_000 // rows, 5, 20))


def class_weights(options: TrainOptions, subject: Subject, labels: np.ndarray) -> tuple[float, ...]:
    """The weights of the classes, in their order; () where they are equal.

    Raises: ValueError for a text that is neither "balanced" nor a weight for each class.
    """
    if options.classes is None:
        return ()
    if subject.task != "classification":
        raise ValueError("`classes` weighs the classes of a classification, the target is one of numbers")
    if options.classes == "balanced":
        counts = np.bincount(labels, minlength=len(subject.classes))
        return tuple((len(labels) / (len(counts) * np.maximum(counts, 1))).tolist())
    pairs = {name: weight for name, _, weight in (pair.rpartition("=") for pair in options.classes.split(","))}
    if set(pairs) != set(subject.classes):
        wanted = ",".join(f"{name}=1" for name in subject.classes)
        raise ValueError(f"`classes` must be balanced, or weights such as {wanted}, got {options.classes!r}")
    try:
        found = tuple(float(pairs[name]) for name in subject.classes)
    except ValueError:
        raise ValueError(f"`classes` must give a number for each class, got {options.classes!r}") from None
    if min(found) < 0 or not 0 < sum(found) < np.inf:
        raise ValueError(f"`classes` must give weights of at least 0, and one above 0, got {options.classes!r}")
    return found


def check_used(options: TrainOptions) -> None:
    """Raise ValueError for a choice that nothing is left to."""
    if options.model != "mlp" and options.tune == "grid":
        raise ValueError(f"`tune=grid` chooses for an mlp, `model={options.model}` is trained as it is")


def check_threshold(options: TrainOptions, subject: Subject, loss: str) -> None:
    """Raise ValueError if there is a threshold, and not two classes with probabilities."""
    if options.threshold is None:
        return
    if len(subject.classes) != 2 or LOSSES[loss].probabilities is None:
        raise ValueError("`threshold` is for two classes with probabilities")
    if not 0 < options.threshold < 1:
        raise ValueError(f"`threshold` must be between 0 and 1, got {options.threshold:g}")
