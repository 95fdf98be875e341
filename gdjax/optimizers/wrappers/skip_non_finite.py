"""Skipping of updates whose gradient is not finite."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import answers, tree
from gdjax.calls import Optimizer, as_optimizer, optimizer
from gdjax.types import Transformation


class SkipState(NamedTuple):
    notfinite_count: jax.Array  # bad gradients in a row up to now, () int32
    last_finite: jax.Array  # whether the last gradient was good, () bool
    total_notfinite: jax.Array  # bad gradients in all, () int32
    skipped: jax.Array  # updates skipped in all, () int32
    taken: jax.Array  # whether the last gradient was passed to the inner optimizer, () bool
    inner: Any

    @property
    def inner_state(self) -> Any:
        """Optax's name for the inner state."""
        return self.inner

    def updated(self) -> Any:
        return self.taken & answers.updated(self.inner)


@optimizer(bounds={"max_consecutive": "[0, inf)"}, ints=("max_consecutive",), constant=("max_consecutive",))
def skip_non_finite(inner: Transformation, max_consecutive: int | None = None):
    """Skip the steps whose gradient is not finite: parameters and inner state stay as they are.

        u = u_inner if all entries of g are finite, else 0 and the inner state is kept

    The counts in the state say how many were bad, in all and in a row. A run goes on past a skipped batch: its loss and its
    metrics have no part in the means, the model state stays as it was, and the history has a column `skipped`.

    Args:
        inner: the optimizer that sees the good gradients only.
        max_consecutive: >= 0; after so many bad ones in a row the next is let through, so that a run that will not recover
            is seen to diverge; None never gives up. Without None, this is `optax.apply_if_finite`.

    Memory: 0 + inner.
    Reference: Micikevicius et al. 2018, section 3.2 (steps skipped in mixed precision), arXiv:1710.03740.

    >>> opt, x, g = gd.skip_non_finite(gd.sgd(0.1)), jnp.ones(2), jnp.array([jnp.nan, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [0. 0.]
    """
    inner = as_optimizer(inner)

    def init(params):
        zero = jnp.zeros((), jnp.int32)
        return SkipState(zero, jnp.ones((), bool), zero, zero, jnp.ones((), bool), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        is_finite = tree.all_finite(grads)
        count = jnp.where(is_finite, 0, tree.increment(state.notfinite_count))
        taken = is_finite if max_consecutive is None else is_finite | (count > max_consecutive)
        updates, inner_state = update_if(taken, inner, grads, state.inner, params, extra_args)
        bad, skipped = tree.increment(state.total_notfinite, ~is_finite), tree.increment(state.skipped, ~taken)
        return updates, SkipState(count, is_finite, bad, skipped, taken, inner_state)

    return init, update


def update_if(
    taken: jax.Array, inner: Optimizer, grads: Any, inner_state: Any, params: Any, extra_args: dict[str, Any]
) -> tuple[Any, Any]:
    """The inner update and state; where it is not taken, zeros and the state that is given."""
    like = grads if params is None else params

    def take(grads):
        updates, new = inner.update(grads, inner_state, params, **extra_args)
        return tree.cast_like(updates, like), tree.cast_like(new, inner_state)

    def skip(grads):
        return jax.tree.map(jnp.zeros_like, like), inner_state

    return jax.lax.cond(taken, take, skip, grads)
