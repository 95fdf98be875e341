"""Optimizer -> Optimizer: what cuts across rules is wrapped around them, never a flag of their constructors.

A wrapper's arguments are leaves like any other's: in `clip_by_global_norm(adam(1e-3), 1.0)` the inner rate is the leaf
`.inner.learning_rate`. A wrapper whose rate is not simply that of the optimizer inside returns a `Rated`; one that averages
offers `evaluation_params(params)` on its state, which a run evaluates and keeps as best; one that does not update at every
call says so there by `updated()` (see `gdjax.answers`).
"""

from gdjax.optimizers.transforms.chain import chain
from gdjax.optimizers.transforms.clipping import (
    adaptive_grad_clip,
    clip,
    clip_by_block_rms,
    clip_by_global_norm,
    clip_by_norm,
)
from gdjax.optimizers.transforms.decay import decay_weights
from gdjax.optimizers.transforms.gradient import add_noise, centralize, normalize, orthogonalize
from gdjax.optimizers.wrappers.accumulate import accumulate
from gdjax.optimizers.wrappers.average import average, lookahead, tail_average
from gdjax.optimizers.wrappers.cautious import cautious, stable
from gdjax.optimizers.wrappers.mechanize import mechanize
from gdjax.optimizers.wrappers.partition import by_path, freeze, partition
from gdjax.optimizers.wrappers.plateau import reduce_on_plateau
from gdjax.optimizers.wrappers.precision import kahan, master_weights, stochastic_rounding
from gdjax.optimizers.wrappers.project import project
from gdjax.optimizers.wrappers.sam import gsam, looksam, sam
from gdjax.optimizers.wrappers.schedule_free import schedule_free, schedule_free_eval_params
from gdjax.optimizers.wrappers.skip import skip_non_finite
from gdjax.optimizers.wrappers.stacked import stacked
