"""Oracle of `gdjax.optimizers.wrappers.chain`."""

from gdjax.certify.oracles.wrappers.lift import Answer


def chain(params, args):
    steps, answer = [part.start(params) for part in args], None
    while True:
        seen = yield answer
        flowing = seen.grads
        for step in steps:
            flowing = step(seen, flowing)
        answer = Answer(flowing)
