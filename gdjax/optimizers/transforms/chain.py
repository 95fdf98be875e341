"""One optimizer after the other."""

from __future__ import annotations

from typing import Any

import optax

from gdjax.calls.node import Rated, as_optimizer, is_number, optimizer


@optimizer
def chain(*optimizers):
    """One after the other: the updates of each are the gradients of the next.

    Like `optax.chain`, for ours and Optax's mixed, but a value: the numbers of ours stay leaves. Its learning rate is
    that of the last one, if it alone has one.

    Memory: the sum of its parts.
    Reference: optax.chain.
    """
    parts = [as_optimizer(part) for part in optimizers]
    init, update = optax.chain(*parts)

    def rate_at(state: Any, evaluation: Any) -> Any:
        """That of the last, if no other has one: what is behind it might change the step in any way."""
        states = [state] * len(parts) if is_number(state) else state
        rates = [part.learning_rates_at(own, evaluation) for part, own in zip(parts, states, strict=True)]
        return rates[-1] if rates and all(rate is None for rate in rates[:-1]) else None

    return Rated(init, update, rate_at)
