"""The options of `gdjax train`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import tyro

from gdjax.models import ACTIVATIONS
from gdjax.tasks import FITTING_LOSSES, TRAINABLE

# Defined here, since tyro would take a comment beside a field as its help text.
if TYPE_CHECKING:
    ModelName: TypeAlias = str
    Activation: TypeAlias = str
    LossName: TypeAlias = str
else:
    ModelName = Literal[TRAINABLE]
    Activation = Literal[tuple(sorted(ACTIVATIONS))]
    LossName = Literal[FITTING_LOSSES]


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a training run."""

    data: tyro.conf.Positional[str | None] = None
    """A name listed by `gdjax data`, or a .csv or .npz file; to be left out only with --resume."""
    target: str | None = None
    """The column (or array) of a file to predict; the last column (or "y") if not given."""
    task: Literal["classification", "regression"] | None = None
    """Of a file; found from the target if not given."""
    model: ModelName = "mlp"
    """What is trained: a network with hidden layers (mlp), or a linear model with the loss that goes with its name."""
    hidden: tuple[int, ...] = (128, 64)
    """Sizes of the hidden layers of an mlp."""
    activation: Activation = "relu"
    """Of an mlp's hidden units."""
    loss: LossName | None = None
    """What fits the model and the task if not given: cross-entropy, squared error, hinge (linear_svm)..."""
    optimizer: str | None = None
    """A call such as "adam(b1=0.95)"; `gdjax optimizers` lists them. If not given: "adamw(weight_decay=1.0)"."""
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
    """Decoupled decay of the weights, not of the biases; around adam if no optimizer is given."""
    clip: float | None = None
    """Largest global norm of the gradient."""
    split: tuple[float, float, float] = (0.7, 0.15, 0.15)
    """Shares of training, validation and test rows; stratified for classes."""
    seed: int = 0
    """Of everything random: split, first parameters, order of rows."""
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
    out: Path | None = None
    """The run folder; runs/<data>-<n> if not given."""
    flow: bool = False
    """Watch where the gradient goes: norms, updates and activations of each layer, as a table, a picture and a diagnosis."""
    memory: bool = False
    """Print what the run takes in memory at most, as its compiled program says: parameters, optimizer, activations..."""
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
    """No progress bar, no summary."""
