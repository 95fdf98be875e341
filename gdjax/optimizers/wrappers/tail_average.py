"""The uniform average of the last iterates of any optimizer; as for `average`, it does not change them."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import answers, tree
from gdjax.calls import as_optimizer, optimizer
from gdjax.optimizers.wrappers.iterates import with_present, zeros_like
from gdjax.types import Transformation


class TailState(NamedTuple):
    is_average = True
    count: jax.Array  # () int32, updates so far
    mean: Any  # of the iterates taken but for the last; in at least float32
    averaged: jax.Array  # () int32, how many are taken, the last one too
    share: jax.Array  # () float, of the parameters that the last call led to; 0 where they are not taken
    inner: Any

    def evaluation_params(self, params: Any) -> Any:
        """The mean of the tail; the parameters themselves before it begins."""
        return tree.select(self.averaged > 0, with_present(self.mean, self.share, params), params)


@optimizer(bounds={"start": "[0, inf)", "every": "[1, inf)"}, ints=("start", "every"), constant=("start", "every"))
def tail_average(inner: Transformation, start: int = 0, every: int = 1):
    """Uniform average of the last iterates (SWA), to evaluate and to keep.

        mean <- mean + (p - mean) / n       for the n-th of the updates t > start with t - start a multiple of every

    Args:
        inner: the optimizer whose path is averaged, and not changed; for SWA at a constant or cyclic rate.
        start: updates left out at the beginning.
        every: take the parameters after each so-many-th update: the length of a cycle.

    Memory: 1 x params (at least float32) + inner.   Raises: ValueError outside these ranges.
    Reference: Polyak & Juditsky 1992; Izmailov et al. 2018, Algorithm 1, arXiv:1803.05407.

    >>> opt, x, g = gd.tail_average(gd.sgd(0.1)), jnp.zeros(2), jnp.array([1.0, -2.0])
    >>> updates, state = opt.update(g, opt.init(x), x)
    >>> updates, state = opt.update(g, state, x + updates)
    >>> print(state.evaluation_params(2 * updates))
    [-0.15 0.3]
    """
    inner = as_optimizer(inner)

    def init(params):
        zero = jnp.zeros((), jnp.int32)
        share = jnp.zeros((), jnp.result_type(float))
        return TailState(zero, zeros_like(params), zero, share, inner.init(params))

    def update(grads, state, params=None, **extra_args):
        tree.need_params("tail_average", params, "average them")
        updates, inner_state = inner.update(grads, state.inner, params, **extra_args)
        made = answers.updated(inner_state)
        count = tree.increment(state.count, made, every)
        taken = (count > start) & ((count - start) % every == 0) & made
        averaged = tree.increment(state.averaged, taken)
        share = jnp.where(taken, 1 / jnp.maximum(averaged, 1).astype(state.share.dtype), 0)
        mean = with_present(state.mean, state.share, params)
        return updates, TailState(count, mean, averaged, share, inner_state)

    return init, update
