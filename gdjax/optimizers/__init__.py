"""The optimizer family: rules for one leaf, lifted by `leafwise`; wrappers; and the tables that name them all.

Adding an optimizer is its rule, its documented factory, and its name in `OPTIMIZERS`. It then gets the laws of the test
suite, a row in the README and in `gdjax optimizers`, and `--optimizer "name(b1=0.95)"`.
"""

from collections.abc import Callable

from gdjax.nodes import Optimizer
from gdjax.optimizers.adaptive import adadelta, adagrad, rmsprop
from gdjax.optimizers.descent import momentum, sgd
from gdjax.optimizers.leafwise import Slot, leafwise
from gdjax.optimizers.line_search import backtracking, line_search, zoom
from gdjax.optimizers.moments import adam, adamw, nadam
from gdjax.optimizers.quasi_newton import bfgs, lbfgs, nonlinear_cg
from gdjax.optimizers.wrappers import (
    adaptive_grad_clip,
    add_noise,
    by_path,
    cautious,
    centralize,
    chain,
    clip,
    clip_by_block_rms,
    clip_by_global_norm,
    clip_by_norm,
    decay_weights,
    freeze,
    gsam,
    looksam,
    normalize,
    orthogonalize,
    partition,
    project,
    reduce_on_plateau,
    sam,
    skip_non_finite,
    stable,
)

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    factory.__name__: factory for factory in (sgd, momentum, adagrad, rmsprop, adadelta, adam, nadam, adamw)
}
WRAPPERS: dict[str, Callable[..., Optimizer]] = {
    factory.__name__: factory
    for factory in (
        chain,
        clip_by_global_norm,
        decay_weights,
        reduce_on_plateau,
        adaptive_grad_clip,
        add_noise,
        cautious,
        centralize,
        clip,
        clip_by_block_rms,
        clip_by_norm,
        freeze,
        gsam,
        looksam,
        normalize,
        orthogonalize,
        partition,
        project,
        sam,
        skip_non_finite,
        stable,
    )
}
