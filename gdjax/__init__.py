"""gdjax: gradient descent in JAX. Write the small thing; lift it.

The public names, in reading order. Losses, metrics, models, schedules and stopping conditions are accessed through their
modules (`gdjax.losses.huber`). Each is imported when it is first touched, so that a program pays for what it uses.

The examples in docstrings have `gd`, `jax` and `jnp` at hand: `import jax, jax.numpy as jnp, gdjax as gd`.
"""

from typing import TYPE_CHECKING

from gdjax.first_touch import import_on_first_touch

# A rank of `gdjax launch` beats before the import of JAX, which takes seconds.
from gdjax.lifeline import hold_lifeline as _hold_lifeline

_hold_lifeline()

if TYPE_CHECKING:
    # Calls as values: they print as the call that made them, and their numbers are leaves.
    from gdjax.calls import Model, Optimizer, Condition, Schedule, as_optimizer
    from gdjax.calls import model, optimizer, condition, schedule

    # The catalogs.
    from gdjax import data, losses, metrics, models, optimizers, processes, projections, schedules, stopping
    from gdjax.optimizers import *

    # Schedules and losses by the names of Optax.
    from gdjax.schedules import (
        constant_schedule,
        linear_schedule,
        polynomial_schedule,
        exponential_decay,
        cosine_decay_schedule,
        warmup_constant_schedule,
        warmup_cosine_decay_schedule,
        warmup_exponential_decay_schedule,
        piecewise_constant_schedule,
        piecewise_interpolate_schedule,
        linear_onecycle_schedule,
        cosine_onecycle_schedule,
        sgdr_schedule,
        join_schedules,
    )
    from gdjax.losses import (
        squared_error,
        l2_loss,
        huber_loss,
        log_cosh,
        cosine_similarity,
        cosine_distance,
        sigmoid_binary_cross_entropy,
        sigmoid_focal_loss,
        hinge_loss,
        softmax_cross_entropy,
        softmax_cross_entropy_with_integer_labels,
        safe_softmax_cross_entropy,
        poly_loss_cross_entropy,
        smooth_labels,
        kl_divergence,
        generalized_kl_divergence,
        convex_kl_divergence,
        ctc_loss,
        ctc_loss_with_forward_probs,
        ntxent,
    )

    # Losses of one example, lifted to batches.
    from gdjax.losses import per_example, stateful, supervised

    # Training: step, epoch, run.
    from gdjax.training import make_state, make_step, make_epoch, iterate, make_evaluate, make_run, start_run, fit
    from gdjax.training import Placement, Result, explain_placement, learning_rate, placement, segments
    from gdjax.types import RunState, Stop, TrainState
    from gdjax.programs import clear_programs

    # Inspection.
    from gdjax.models import summary

    # What becomes of a run.
    from gdjax.training import CheckpointError, Checkpoints, find_failure, load_run, save_run

    # Many runs in one program.
    from gdjax import sweeps
    from gdjax.sweeps import RangeTest, SweepTable, Tournament, find_learning_rate, sweep, tournament

    # Minimization of any function.
    from gdjax import problems, search
    from gdjax.solve import CurveFit, Minimum, fit_curve, gradient_flow, minimize
    from gdjax.planes import Plane, pca_plane, plane_through, random_plane

    # Backpropagation, step by step.
    from gdjax import backprop

    # Pictures, measurements, runs on disk.
    from gdjax import certify as certify
    from gdjax import cluster as cluster
    from gdjax import estimators as estimators
    from gdjax import laws as laws
    from gdjax import plots as plots
    from gdjax import runs as runs
    from gdjax import tables as tables
    from gdjax.version import __version__ as __version__

# Further functions of Optax.
from gdjax.optimizers import utilities
from gdjax.optimizers.utilities import *

ON_FIRST_TOUCH = import_on_first_touch(__name__)

__all__ = [
    "CheckpointError",
    "Checkpoints",
    "Condition",
    "CurveFit",
    "Minimum",
    "Model",
    "Optimizer",
    "Placement",
    "Plane",
    "RangeTest",
    "Result",
    "RunState",
    "Schedule",
    "Stop",
    "SweepTable",
    "Tournament",
    "TrainState",
    "as_optimizer",
    "backprop",
    "clear_programs",
    "condition",
    "constant_schedule",
    "convex_kl_divergence",
    "cosine_decay_schedule",
    "cosine_distance",
    "cosine_onecycle_schedule",
    "cosine_similarity",
    "ctc_loss",
    "ctc_loss_with_forward_probs",
    "data",
    "explain_placement",
    "exponential_decay",
    "find_failure",
    "find_learning_rate",
    "fit",
    "fit_curve",
    "generalized_kl_divergence",
    "gradient_flow",
    "hinge_loss",
    "huber_loss",
    "iterate",
    "join_schedules",
    "kl_divergence",
    "l2_loss",
    "learning_rate",
    "linear_onecycle_schedule",
    "linear_schedule",
    "load_run",
    "log_cosh",
    "losses",
    "make_epoch",
    "make_evaluate",
    "make_run",
    "make_state",
    "make_step",
    "metrics",
    "minimize",
    "model",
    "models",
    "ntxent",
    "optimizer",
    "optimizers",
    "pca_plane",
    "per_example",
    "piecewise_constant_schedule",
    "piecewise_interpolate_schedule",
    "placement",
    "plane_through",
    "poly_loss_cross_entropy",
    "polynomial_schedule",
    "problems",
    "processes",
    "projections",
    "random_plane",
    "safe_softmax_cross_entropy",
    "save_run",
    "schedule",
    "schedules",
    "search",
    "segments",
    "sgdr_schedule",
    "sigmoid_binary_cross_entropy",
    "sigmoid_focal_loss",
    "smooth_labels",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
    "squared_error",
    "start_run",
    "stateful",
    "stopping",
    "summary",
    "supervised",
    "sweep",
    "sweeps",
    "tournament",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
    "warmup_exponential_decay_schedule",
]
__all__ += optimizers.__all__
__all__ += utilities.__all__
