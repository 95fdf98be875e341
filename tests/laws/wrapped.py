"""A call of each wrapper and of each transform, around optimizers; forgetting one is a red test of the laws."""

import jax

import gdjax as gd
from gdjax.certify.oracles.masks import matrices


def vectors(params):
    return jax.tree.map(lambda p: p.ndim == 1, params)


WRAPPED = {
    "line_search": lambda: gd.line_search(gd.sgd(1.0), gd.backtracking()),
    "average": lambda: gd.average(gd.adam(0.01), 0.9),
    "tail_average": lambda: gd.tail_average(gd.adam(0.01), 1, 2),
    "lookahead": lambda: gd.lookahead(gd.adam(0.01), 2),
    "mechanize": lambda: gd.mechanize(gd.sgd(1.0), weight_decay=0.0, s_init=0.01),
    "schedule_free": lambda: gd.schedule_free(gd.rmsprop(0.01), 0.01),
    "chain": lambda: gd.chain(gd.clip(1.0), gd.sgd(0.1, momentum=0.5)),
    "decay_weights": lambda: gd.decay_weights(gd.rmsprop(0.01), 0.1),
    "reduce_on_plateau": lambda: gd.reduce_on_plateau(gd.adam(0.01), factor=0.5, patience=1),
    "accumulate": lambda: gd.accumulate(gd.adam(0.01), 1),
    "kahan": lambda: gd.kahan(gd.adam(0.01)),
    "master_weights": lambda: gd.master_weights(gd.adam(0.01)),
    "stacked": lambda: gd.stacked(gd.adamw(0.01, mask=matrices)),
    "stochastic_rounding": lambda: gd.stochastic_rounding(gd.adam(0.01), 3),
    "sam": lambda: gd.sam(gd.adam(0.01), 0.05, adaptive=True, steps=2),
    "gsam": lambda: gd.gsam(gd.adam(0.01)),
    "looksam": lambda: gd.looksam(gd.adam(0.01), period=2),
    "freeze": lambda: gd.freeze(gd.adam(0.01), frozen=vectors),
    "partition": lambda: gd.partition({True: gd.adam(0.01), False: gd.sgd(0.1, momentum=0.9)}, matrices),
    "skip_non_finite": lambda: gd.skip_non_finite(gd.adam(0.01), max_consecutive=3),
    "scale_loss": lambda: gd.scale_loss(gd.adam(0.01), growth_interval=2),
    "project": lambda: gd.project(gd.adam(0.01), gd.projections.l2_ball(5.0)),
    "hyperball": lambda: gd.hyperball(gd.adam(0.01), 0.05),
    "cautious": lambda: gd.cautious(gd.adam(0.01)),
    "stable": lambda: gd.stable(gd.adam(0.01), 0.5),
}
TRANSFORMED = {
    "clip": lambda: gd.chain(gd.clip(0.5), gd.adam(0.01)),
    "clip_by_norm": lambda: gd.chain(gd.clip_by_norm(0.5), gd.adam(0.01)),
    "clip_by_global_norm": lambda: gd.chain(gd.clip_by_global_norm(0.5), gd.adam(0.01)),
    "clip_by_block_rms": lambda: gd.chain(gd.clip_by_block_rms(0.5), gd.adam(0.01)),
    "adaptive_grad_clip": lambda: gd.chain(gd.adaptive_grad_clip(0.1), gd.adam(0.01)),
    "add_noise": lambda: gd.chain(gd.add_noise(0.0, 0.55), gd.sgd(0.01)),  # of no variance, for the other laws
    "centralize": lambda: gd.chain(gd.centralize(), gd.adam(0.01)),
    "normalize": lambda: gd.chain(gd.normalize(), gd.sgd(0.01)),
    "orthogonalize": lambda: gd.chain(gd.orthogonalize(), gd.sgd(0.01)),
    "cautious_weight_decay": lambda: gd.chain(gd.cautious_weight_decay(0.1), gd.sgd(0.01)),
}
