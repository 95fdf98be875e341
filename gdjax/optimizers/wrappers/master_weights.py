"""Float32 copies of 16-bit parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdjax.calls import as_optimizer, optimizer
from gdjax.optimizers.wrappers.sixteen_bits import check_arguments, is_short, nearest, step_to, widen, with_rounding
from gdjax.types import Transformation


class MasterState(NamedTuple):
    master: Any  # float32 copies of the 16-bit leaves, None in the place of all others
    inner: Any

    def route(self, ask: Callable[..., Any], params: Any) -> list[Any]:
        """The answers of the inner state, which works on the copies."""
        found = ask(self.inner, jax.tree.map(_resynchronize, params, self.master))
        return [x if x is None else x.astype(p.dtype) for x, p in zip(found, jax.tree.leaves(params), strict=True)]


@optimizer
def master_weights(inner: Transformation):
    """Master weights: float32 copies are trained, the 16-bit parameters are their rounding.

        master <- master + u_inner(grads, master),      u = round(master) - p              p + u = round(master)

    After any number of steps the parameters are, bit for bit, the rounding of those that float32 training on the same
    gradients gives. Leaves of 32 bits and more are their own masters and cost nothing. An entry that is no longer the
    rounding of its master was changed from outside (restored, clipped, scaled): it becomes its own master.

    Args:
        inner: the optimizer of the copies; its state is float32 too.

    Memory: 2 x params (float32 copies of 16-bit ones) + inner in float32.
    Differs from: our other wrappers in that updates of 16-bit leaves are float32 (see `sixteen_bits`). Where a step brings
        an entry below 2^-15 of its last size the difference is not exact: the entry is then within 2^-24 of that size.
    Reference: Micikevicius et al. 2018, section 3.1, arXiv:1710.03740.

    >>> opt, x = gd.master_weights(gd.sgd(0.001)), jnp.ones(2, jnp.bfloat16)
    >>> updates, state = opt.update(jnp.array([1.0, -2.0], jnp.bfloat16), opt.init(x), x)
    >>> print(x + updates, state.master)
    [1. 1.] [0.999 1.002]
    """
    inner = as_optimizer(inner)

    def init(params):
        master = jax.tree.map(lambda p: p.astype(jnp.float32) if is_short(p) else None, params)
        return MasterState(master, inner.init(widen(params)))

    def update(grads, state, params=None, **extra_args):
        check_arguments("master_weights", grads, params)
        master = jax.tree.map(_resynchronize, params, state.master)
        wide = jax.tree.map(lambda g, p: g.astype(jnp.float32) if is_short(p) else g, grads, params)
        updates, inner_state = inner.update(wide, state.inner, master, **with_rounding(extra_args, params))
        new_master: Any = optax.apply_updates(master, updates)
        updates = jax.tree.map(
            lambda p, u, m: step_to(p, nearest(m, p.dtype)) if is_short(p) else u, params, updates, new_master
        )
        kept = jax.tree.map(lambda p, m: m if is_short(p) else None, params, new_master)
        return updates, MasterState(kept, inner_state)

    return init, update


def _resynchronize(p: jax.Array, master: jax.Array | None) -> jax.Array:
    if master is None:
        return p
    wide = p.astype(jnp.float32)
    return jnp.where(nearest(master, p.dtype) == wide, master, wide)
