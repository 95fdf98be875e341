"""The options of a training run: of the table, the split, the model, the steps, and the folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import numpy as np

from gdjax.data.order import ORDERS
from gdjax.models import ACTIVATIONS
from gdjax.networks import NETWORKS, words_of
from gdjax.runs.language.models import LANGUAGE_MODELS
from gdjax.tasks import FITTING_LOSSES, TRAINABLE
from gdjax.text import did_you_mean

# Defined here, since tyro would take a comment beside a field as its help text.
if TYPE_CHECKING:
    ModelName: TypeAlias = str
    Activation: TypeAlias = str
    LossName: TypeAlias = str
    Order: TypeAlias = str
else:
    ModelName = Literal[tuple(dict.fromkeys((*TRAINABLE, *LANGUAGE_MODELS)))]
    Activation = Literal[tuple(sorted(ACTIVATIONS))]
    LossName = Literal[FITTING_LOSSES]
    Order = Literal[ORDERS]


# Options that name columns.
OF_COLUMNS = ("target", "group", "time", "drop", "id", "only", "categorical", "numeric")

# What is said of networks.
WORDS = tuple(dict.fromkeys(word for name in NETWORKS for word in words_of(name)))


@dataclasses.dataclass(frozen=True)
class ReadingOptions:
    """How a file is read, and what its columns are; what is left out is recognized, and said."""

    target: str | None = None
    """The column (or array) of a table to predict; the last column (or "y") if not given."""
    task: Literal["classification", "regression"] | None = None
    """Found from the target if not given."""
    sep: str | None = None
    """The delimiter of a text file, such as ";" or "tab"."""
    header: bool | None = None
    """Whether the first line names the columns, --header or --no-header; recognized if not given."""
    decimal: Literal[".", ","] | None = None
    """The decimal mark of a text file."""
    encoding: str | None = None
    """Of a text file, such as latin-1."""
    missing: tuple[str, ...] = ()
    """Further cells that stand for a missing value, such as -999."""
    drop: tuple[str, ...] = ()
    """Columns that are not used."""
    id: tuple[str, ...] = ()
    """Columns that identify rows, and are not used."""
    only: tuple[str, ...] = ()
    """The only columns that are used."""
    categorical: tuple[str, ...] = ()
    """Columns that are categories, whatever they look like."""
    numeric: tuple[str, ...] = ()
    """Columns that are numbers, whatever they look like."""
    shape: tuple[int, ...] = ()
    """Of a row whose columns, in their order, are an image or a series: height, width and channels such as 28 28 1, or
    length and channels; files of images have their own."""


@dataclasses.dataclass(frozen=True)
class ModelOptions(ReadingOptions):
    """What a run is, besides its table: all that its bits depend on."""

    split: tuple[float, float, float] = (0.7, 0.15, 0.15)
    """Shares of training, validation and test rows; stratified for classes, equal rows on one side."""
    group: str | None = None
    """A column whose equal values stay on one side of the split."""
    time: str | None = None
    """A column by which later rows are for validation, and the latest for the test."""
    test: str | None = None
    """A file whose rows are the test rows."""
    cv: int | None = None
    """Folds of the training rows, each held out once: for scores, and for the intervals of a regression. If not given, 5 for
    a regression of few rows; 0 for none."""
    classes: str | None = None
    """Weights of the classes: "balanced", or such as "no=1,yes=5"."""
    threshold: float | None = None
    """Of two classes: the probability from which the second is predicted; 0.5 if not given."""
    model: ModelName = "mlp"
    """What is trained: a network with hidden layers (mlp), one that reads images or series, a linear model with the loss
    that goes with its name, or a model of a text (transformer, gru), which learns to predict its next character."""
    hidden: tuple[int, ...] | None = None
    """Sizes of the hidden layers: of an mlp 128 64 if not given, of a spiking network 128, of a cnn none."""
    channels: tuple[int, ...] | None = None
    """Of each block of a cnn; 32 64 if not given."""
    kernel: int | None = None
    """Size of the windows of a cnn, along each axis; 3 if not given."""
    activation: Activation | None = None
    """Of hidden units; relu if not given."""
    width: int | None = None
    """Of each layer of a transformer or a gru: 128 if not given, of a gru on images or series 64."""
    layers: int | None = None
    """Of a transformer, 4 if not given, or a gru, 1 if not given."""
    heads: int | None = None
    """Of attention, in each layer of a transformer; 4 if not given."""
    norm: Literal["layer", "batch"] | None = None
    """How the channels of each block of a cnn are normalized: those of a place, or each over the batch; not if not given."""
    dropout: float | None = None
    """Probability that a hidden unit is silenced in a step: of a cnn 0.5 if not given, else 0."""
    unit: Literal["characters", "bytes"] | None = None
    """What a text is read as; characters if not given."""
    context: int | None = None
    """Units that a model of a text sees at most before the one that it predicts; 64 if not given."""
    augment: tuple[str, ...] = ()
    """How images or series are changed at random in each step: flip, shift=2 (places), crop=0.8 (the least share of each
    side), noise=0.1 (in standard deviations)."""
    ensemble: int | None = None
    """Networks that are averaged, trained in one program; 4 of an mlp if not given, 1 of another model or with --flow."""
    numbers: Literal["standardized", "piecewise_linear", "pixels"] | None = None
    """The encoding of numbers; tried if not given. pixels: one center and one scale for all numbers of images or series."""
    tune: Literal["grid", "none"] | None = None
    """Whether what is not given of numbers and decay is chosen by validation loss; "grid" from 1,000 training rows on."""
    loss: LossName | None = None
    """What fits the model and the task if not given: cross-entropy, squared error, hinge (linear_svm)..."""
    optimizer: str | None = None
    """A call such as "adam(b1=0.95)"; `gdjax optimizers` lists them. If not given: adamw with cosine decay, or lbfgs for
    the linear models that have a smooth loss."""
    learning_rate: float | None = None
    """Of the optimizer, or of the schedule; the optimizer's own default if not given."""
    schedule: str | None = None
    """A call such as "cosine" or "cyclic(0.0001, 0.01, 200)"; what it leaves out is the rate and the run's length."""
    schedule_unit: Literal["steps", "epochs"] = "steps"
    """Of the schedule's lengths."""
    batch_size: int | None = None
    """Rows per step; found from the number of rows if not given."""
    order: Order = "shuffle"
    """Of the rows: every row once in each epoch, drawn independently, or as they are in the table."""
    epochs: float | None = None
    """Longest run; found from the number of rows if neither epochs nor steps are given."""
    steps: int | None = None
    """Longest run in steps."""
    every: int | None = None
    """Steps between evaluations; one epoch if not given."""
    patience: int | None = None
    """Evaluations without a better validation loss before the run stops; 20, or none under the default schedule."""
    min_delta: float = 0.0
    """Improvement of the validation loss that counts."""
    weight_decay: float | None = None
    """Decoupled decay of the weights, not of the biases; around adam if no optimizer is given."""
    clip: float | None = None
    """Largest global norm of the gradient."""
    set: tuple[str, ...] = ()
    """Any number of the optimizer or the stopping condition by its path, such as optimizer.inner.b1=0.8; the end of the path
    is enough where it belongs to one number only: b1=0.8."""
    seed: int = 0
    """Of everything random: first parameters, order of rows, and the split if it has no seed of its own."""
    split_seed: int | None = None
    """Of the split of the rows, and of folds; that of --seed if not given."""
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    """Of the parameters."""
    compute_dtype: Literal["bfloat16", "float16"] | None = None
    """Of the computations of a step, if not that of the parameters; float16 needs an optimizer inside scale_loss(...)."""
    microbatches: int = 1
    """Parts of a batch that are read one after the other, which saves memory; the gradient is that of the whole batch."""
    remat: bool = False
    """Compute activations again in the backward pass instead of keeping them, which saves memory."""
    device: Literal["cpu", "gpu", "tpu"] | None = None
    """What JAX finds best if not given."""
    deterministic: bool = False
    """On a GPU: only operations whose bits are the same in each run, which may be slower; a CPU has no others."""

    @property
    def seed_of_split(self) -> int:
        return self.seed if self.split_seed is None else self.split_seed

    @property
    def words(self) -> dict[str, Any]:
        """What is said of a network, by name; None where nothing is. No change of rows is none said."""
        return {name: getattr(self, name) for name in WORDS} | {"augment": self.augment or None}


@dataclasses.dataclass(frozen=True)
class TrainOptions(ModelOptions):
    """The options of a training run."""

    out: Path | None = None
    """The run folder; runs/<data>-<n> if not given."""
    quick: bool = False
    """Leave out what is not given of numbers and decay, the other models, and the importance of the columns."""
    flow: bool = False
    """Watch where the gradient goes: norms, updates and activations of each layer, as a table, a picture and a diagnosis."""
    memory: bool = False
    """Print what the run takes in memory at most, as its compiled program says: parameters, optimizer, activations..."""
    devices: int | None = None
    """Devices over which the rows of each batch are divided, those of one process; 1 if not given, all of each process in a
    run of several. A CPU has as many as are asked for, which share its cores."""
    shard: Literal["fsdp"] | None = None
    """Split the parameters and the state of the optimizer over the devices, too; else each device has all of them."""
    explain: bool = False
    """First print where each tensor lies, what the devices exchange in a step, its memory, and what is computed twice."""
    tensorboard: bool = False
    """Also write the evaluations into the run folder's tensorboard/, for `tensorboard --logdir`."""
    checkpoint_every: str = "60"
    """How often a checkpoint is saved: seconds, such as 5, or steps, such as 100steps; 0: at an interruption only."""
    resume: bool = False
    """Go on with the run in --out from its newest checkpoint, with the same options; without data, with those of the run."""
    allow_versions: bool = False
    """Resume under other versions, another device or another number of cores, although the bits may differ."""
    overwrite: bool = False
    """Replace the run folder if it is there."""
    quiet: bool = False
    """No progress bar, no summary, no word on a run that is no better than chance: its report tells it."""

    @classmethod
    def named(cls, who: str, options: dict[str, Any]) -> TrainOptions:
        """The options of these names.

        Raises: TypeError for a name that is none, ValueError for a word that is no choice, with the nearest one.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        for name in options:
            if name not in names:
                raise TypeError(f"{who}: no option {name!r}: {did_you_mean(name, names)}")
        for name, hint in get_type_hints(cls).items():
            allowed = [x for each in (hint, *get_args(hint)) if get_origin(each) is Literal for x in get_args(each)]
            if allowed and options.get(name) not in (None, *allowed):
                raise ValueError(f"`{name}={options[name]}`: {did_you_mean(str(options[name]), allowed)}")
        given: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in options.items()}
        for name in OF_COLUMNS:  # a data frame may have numbers for names
            if isinstance(given.get(name), tuple):
                given[name] = tuple(map(str, given[name]))
            elif isinstance(given.get(name), (int, np.integer)):
                given[name] = str(given[name])
        if given.get("out") is not None:
            given["out"] = Path(given["out"])
        return cls(**given)
