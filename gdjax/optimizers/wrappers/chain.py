"""One optimizer after the other."""

from __future__ import annotations

import optax

from gdjax.nodes import as_optimizer, optimizer


@optimizer
def chain(*optimizers):
    """One after the other: the updates of each are the gradients of the next.

    Like `optax.chain`, for ours and Optax's mixed, but a value: the numbers of ours stay leaves.

    Memory: the sum of its parts.
    Reference: optax.chain.
    """
    return optax.chain(*map(as_optimizer, optimizers))
