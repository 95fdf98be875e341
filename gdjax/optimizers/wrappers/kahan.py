"""Kahan summation for 16-bit parameters: rounding errors are stored and subtracted from the next update."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import as_optimizer, optimizer
from gdjax.optimizers.wrappers.sixteen_bits import check_arguments, fine_updates, nearest
from gdjax.types import Transformation


class KahanState(NamedTuple):
    compensation: Any  # what rounding has added to the parameters so far, in their dtype
    inner: Any


@optimizer
def kahan(inner: Transformation):
    """Kahan: what rounding adds to a parameter is remembered and taken off the next update.

        y = u_inner - compensation,    u = round(y)
        compensation <- (round(p + u) - p) - y                           all rounded to the dtype of p

    So p - compensation moves by u_inner at every step, and a bfloat16 parameter has 16 digits instead of 8. Parameters
    changed from outside need nothing: the compensation is at most half of the last place they had.

    Args:
        inner: the optimizer to follow; it computes in float32 and keeps its state in the dtype of the parameters.

    Memory: 1 x params + inner.
    Reference: Zamirai et al. 2020, Algorithm 3, arXiv:2010.06192; Kahan 1965.

    >>> opt, x = gd.kahan(gd.sgd(0.001)), jnp.ones(2, jnp.bfloat16)
    >>> updates, state = opt.update(jnp.array([1.0, -2.0], jnp.bfloat16), opt.init(x), x)
    >>> print(x + updates, state.compensation)
    [1 1] [0.00099945 -0.0019989]
    """
    inner = as_optimizer(inner)

    def init(params):
        return KahanState(jax.tree.map(jnp.zeros_like, params), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        check_arguments("kahan", grads, params)
        fine, inner_state = fine_updates(inner, grads, state.inner, params, extra_args)
        pairs = tree.leafmap(_compensate, params, fine, state.compensation)
        structure = jax.tree.structure(params)
        updates, lost = (structure.unflatten([pair[i] for pair in pairs]) for i in (0, 1))
        return updates, KahanState(lost, inner_state)

    return init, update


def _compensate(p: jax.Array, u: jax.Array, compensation: jax.Array) -> tuple[jax.Array, jax.Array]:
    dtype = tree.arithmetic_dtype(p)
    wide, y = p.astype(dtype), u.astype(dtype) - compensation.astype(dtype)
    step = nearest(y, p.dtype)
    lost = (nearest(wide + step, p.dtype) - wide) - y
    return step.astype(p.dtype), jnp.where(jnp.isfinite(lost), lost, 0).astype(p.dtype)
