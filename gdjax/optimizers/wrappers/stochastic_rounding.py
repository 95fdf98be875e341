"""Stochastic rounding of 16-bit sums."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import as_key, as_optimizer, optimizer
from gdjax.optimizers.wrappers.sixteen_bits import by_chance, check_arguments, fine_updates, is_short, step_to
from gdjax.types import PRNGKey, Transformation


class RoundingState(NamedTuple):
    count: jax.Array  # () int32, updates so far
    inner: Any


@optimizer(keys=("key",))
def stochastic_rounding(inner: Transformation, key: PRNGKey = 0):
    """Stochastic rounding: 16-bit sums are rounded up or down by chance, so that the mean is the sum.

        p + u = up with probability (s - down) / (up - down), else down;    s = p + u_inner,    u = that - p

    Steps far below the last place are taken now and then instead of never. Entries that are not finite stay as they are;
    leaves of 32 bits and more are left to ordinary rounding.

    Args:
        inner: the optimizer to follow; it computes in float32 and keeps its state in the dtype of the parameters.
        key: a key or seed; step i draws from fold_in(key, i), so that a run is reproducible and may be resumed.

    Memory: 0 + inner.
    Differs from: our other wrappers in that updates of 16-bit leaves are float32 (see `sixteen_bits`).
    Reference: Gupta et al. 2015, section 3, arXiv:1502.02551; Zamirai et al. 2020, arXiv:2010.06192.

    >>> opt, x, g = gd.stochastic_rounding(gd.sgd(0.001)), jnp.ones(4, jnp.bfloat16), jnp.ones(4, jnp.bfloat16)
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [0. 0. -0.0039062 0.]
    """
    inner = as_optimizer(inner)

    def init(params):
        return RoundingState(jnp.zeros((), jnp.int32), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        check_arguments("stochastic_rounding", grads, params)
        fine, inner_state = fine_updates(inner, grads, state.inner, params, extra_args)
        of_step = jax.random.fold_in(as_key(key), state.count)
        leaves, structure = jax.tree.flatten(params)
        updates = [
            step_to(
                p, by_chance(p.astype(jnp.float32) + u.astype(jnp.float32), p.dtype, jax.random.fold_in(of_step, i))
            )
            if is_short(p)
            else u
            for i, (p, u) in enumerate(zip(leaves, structure.flatten_up_to(fine), strict=True))
        ]
        return structure.unflatten(updates), RoundingState(tree.increment(state.count), inner_state)

    return init, update
