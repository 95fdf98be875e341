"""The calls of each wrapper and transform that are certified.

Wrappers are around an optimizer plain enough that what is seen is the wrapper's.
"""

# pyright: reportArgumentType=false
# (what a default says is a float may be a schedule: that is what is tried here)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gdjax import projections
from gdjax.calls import Optimizer
from gdjax.certify.oracles.masks import matrices
from gdjax.optimizers import (
    accumulate,
    adam,
    adamw,
    adaptive_grad_clip,
    add_noise,
    average,
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
    kahan,
    lookahead,
    looksam,
    master_weights,
    mechanize,
    normalize,
    orthogonalize,
    partition,
    project,
    reduce_on_plateau,
    sam,
    schedule_free,
    sgd,
    signum,
    skip_non_finite,
    stable,
    stacked,
    stochastic_rounding,
    tail_average,
)
from gdjax.schedules import linear


def _heavy() -> Optimizer:
    """Descent with momentum: it has a state that can be kept, lost or begun anew."""
    return sgd(0.01, 0.9)


def _small(params: Any) -> Any:
    """A mask: the small leaves."""
    return {name: p.size < 100 for name, p in params.items()}


WRAPPER_EXAMPLES: dict[str, Callable[[], list[Optimizer]]] = {
    "chain": lambda: [chain(adam(0.1), sgd(0.5, 0.9)), chain(sgd(2.0), clip(0.3), _heavy(), sgd(3.0))],
    "clip_by_global_norm": lambda: [clip_by_global_norm(1.0)],
    "decay_weights": lambda: [
        decay_weights(_heavy(), 0.1),
        decay_weights(sgd(linear(0.1, 0.01, 10)), linear(0.0, 0.3, 9), mask=matrices),
    ],
    "reduce_on_plateau": lambda: [
        reduce_on_plateau(sgd(0.01), factor=0.5, patience=2, rtol=0.1, min_scale=1e-3),
        reduce_on_plateau(_heavy(), factor=0.3, patience=1, rtol=0.2, atol=0.04, cooldown=2, min_scale=0.01),
        reduce_on_plateau(sgd(0.01), patience=1, rtol=0.0),
    ],
    "average": lambda: [average(_heavy(), 0.9), average(sgd(0.1), linear(0.3, 0.9, 8), debias=False)],
    "tail_average": lambda: [tail_average(_heavy(), 3, 2), tail_average(sgd(0.1)), tail_average(sgd(0.1), start=4)],
    "lookahead": lambda: [
        lookahead(_heavy(), 4, 0.3),
        lookahead(_heavy(), 3, 0.8, reset_state=True),
    ],
    "mechanize": lambda: [mechanize(sgd(1.0), s_init=0.01), mechanize(adam(0.1), 0.0, s_init=0.1, num_betas=3)],
    "schedule_free": lambda: [
        schedule_free(sgd(0.1), 0.1),
        schedule_free(sgd(linear(0.1, 0.02, 8)), linear(0.1, 0.02, 8)),
        schedule_free(sgd(linear(0.0, 0.1, 8)), linear(0.0, 0.1, 8), b1=0.7, weight_lr_power=1.0),
    ],
    "accumulate": lambda: [accumulate(_heavy(), 3), accumulate(adam(0.01), linear(1.0, 4.0, 3))],
    "kahan": lambda: [kahan(sgd(0.001))],
    "master_weights": lambda: [master_weights(sgd(0.001))],
    "stacked": lambda: [stacked(adamw(0.01, mask=matrices))],
    "stochastic_rounding": lambda: [stochastic_rounding(sgd(0.001), 3)],
    "adaptive_grad_clip": lambda: [
        adaptive_grad_clip(1e-3),
        adaptive_grad_clip(2e-4, 0.3, axis=()),
    ],
    "add_noise": lambda: [add_noise(0.3, 0.55, 4)],
    "cautious": lambda: [cautious(_heavy()), cautious(adam(0.01), floor=0.6)],
    "centralize": lambda: [centralize(), centralize(axis=0)],
    "clip": lambda: [clip(0.4)],
    "clip_by_block_rms": lambda: [clip_by_block_rms(0.5)],
    "clip_by_norm": lambda: [clip_by_norm(0.5)],
    "freeze": lambda: [freeze(_heavy(), r"^(matrix|scalar)$"), freeze(average(sgd(0.1), 0.6), "r$")],
    "gsam": lambda: [gsam(sgd(0.01), 0.5), gsam(sgd(0.01), 0.2, 1.5)],
    "looksam": lambda: [looksam(sgd(0.1), 0.5, period=3), looksam(_heavy(), 0.2, alpha=0.3, period=4)],
    "normalize": lambda: [normalize()],
    "orthogonalize": lambda: [orthogonalize(), orthogonalize((2.0, -1.5, 0.5), 3)],
    "partition": lambda: [partition({"^m|^l": adam(0.01), "r$": average(sgd(0.1), 0.7), "^e": None})],
    "project": lambda: [
        project(sgd(0.1), projections.l2_ball(5.0)),
        project(sgd(0.1), projections.simplex(2.0), mask=_small),
        project(_heavy(), projections.box(-0.4, 0.3)),
    ],
    "sam": lambda: [
        sam(sgd(0.1), 0.5),
        sam(sgd(0.1), 0.5, adaptive=True, eta=0.3),
        sam(_heavy(), 0.2, steps=3),
        sam(sgd(0.1), 0.4, adaptive=True, eta=0.05, steps=2),
    ],
    "skip_non_finite": lambda: [skip_non_finite(_heavy()), skip_non_finite(_heavy(), max_consecutive=2)],
    "stable": lambda: [stable(sgd(linear(0.3, 0.1, 7), 0.9), 0.5), stable(signum(0.01), 0.8)],
}
