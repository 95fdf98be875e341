"""Optimizer -> Optimizer: what cuts across rules is wrapped around them, never a flag of their constructors.

A wrapper's arguments are leaves like any other's: in `clip_by_global_norm(adam(1e-3), 1.0)` the inner rate is the leaf
`.inner.learning_rate`. A wrapper that scales the rate shows by how much as `rate_scale` on its state; one that averages
offers `evaluation_params(params)` there, which a run evaluates and keeps as best.
"""

from gdjax.optimizers.wrappers.chain import chain
from gdjax.optimizers.wrappers.clipping import clip_by_global_norm
from gdjax.optimizers.wrappers.decay import decay_weights
from gdjax.optimizers.wrappers.plateau import reduce_on_plateau
