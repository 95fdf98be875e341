"""Oracle of `gdjax.optimizers.wrappers.stacked`: the inner one, which knows no stacks."""

from gdjax import optimizers as o
from gdjax.certify.oracles.masks import matrices
from gdjax.certify.oracles.wrappers.lift import Answer


def stacked(params, inner):
    step, answer = inner.start(params), None
    while True:
        answer = Answer(step((yield answer)))


EXAMPLES = {
    "stacked": lambda: [o.stacked(o.adamw(0.01, mask=matrices))],
}
