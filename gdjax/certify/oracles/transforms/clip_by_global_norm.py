"""Oracle of `gdjax.optimizers.transforms.clip_by_global_norm`."""

from gdjax import optimizers as o
from gdjax.certify.oracles.transforms.clip_by_norm import shortening
from gdjax.certify.oracles.transforms.each_leaf import all_leaves
from gdjax.certify.oracles.wrappers.lift import norm


def clip_by_global_norm(params, max_norm):
    def clipped(grads, t):
        factor = shortening(norm(grads), max_norm)
        return [g * factor for g in grads]

    yield from all_leaves(clipped)


EXAMPLES = {
    "clip_by_global_norm": lambda: [o.clip_by_global_norm(1.0)],
}
