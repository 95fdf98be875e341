"""Oracle of `gdjax.optimizers.wrappers.accumulate`."""

from gdjax.certify.oracles.lift import at
from gdjax.certify.oracles.wrappers.lift import Answer


def accumulate(params, inner, every):
    step, answer, batch, made = inner.start(params), None, [], 0
    while True:
        seen = yield answer
        batch.append(seen.grads)
        updates = [0 * p for p in params]
        if len(batch) >= at(every, made + 1):
            updates = step(seen, [sum(gs) / len(batch) for gs in zip(*batch, strict=True)])
            batch, made = [], made + 1
        answer = Answer(updates, shown={"mini_step": len(batch), "gradient_step": made})
