"""Oracle of `gdjax.optimizers.wrappers.stacked`: the inner one, which knows no stacks."""

from gdjax.certify.oracles.wrappers.lift import Answer


def stacked(params, inner):
    step, answer = inner.start(params), None
    while True:
        answer = Answer(step((yield answer)))
