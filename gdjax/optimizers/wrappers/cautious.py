"""Updates without the entries that point uphill of the present gradient."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import as_optimizer, optimizer
from gdjax.types import ArrayLike, Transformation


@optimizer(bounds={"floor": "(0, 1]"}, constant=("floor",))
def cautious(inner: Transformation, floor: ArrayLike = 1e-3):
    """Cautious steps: no entry of the update may go uphill of the present gradient; the rest is lengthened in return.

        agrees = [u g < 0],      u <- u agrees / max(mean(agrees), floor)          means over each leaf

    Args:
        inner: any optimizer with a memory, such as momentum or `adamw`; its decoupled decay is masked too, so put
            `decay_weights` outside to spare it.
        floor: in (0, 1]; the least fraction by which the kept entries are divided.

    Memory: 0 + inner.
    Differs from: the paper's Algorithm 1, which divides by (kept + 1) / size; this is the authors' program.
    Reference: Liang, Chen, Liu & Liu 2024, Algorithm 1, arXiv:2411.16085.

    >>> opt, x, g = gd.cautious(gd.momentum(0.1)), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> updates, state = opt.update(g, opt.init(x), x)
    >>> print(opt.update(jnp.array([-0.5, -2.0]), state, x + updates)[0])
    [0. 0.76]
    """
    inner = as_optimizer(inner)

    def update(grads, state, params=None, **extra_args):
        updates, state = inner.update(grads, state, params, **extra_args)

        def agreeing(u, g):
            agrees = _direction(u, g) < 0
            kept = jnp.sum(agrees, dtype=tree.arithmetic_dtype(jnp.real(u))) / max(u.size, 1)
            return jnp.where(agrees, u / jnp.maximum(kept, floor), 0).astype(u.dtype)

        return jax.tree.map(agreeing, updates, grads), state

    return inner.init, update


def _direction(u: jax.Array, g: jax.Array) -> jax.Array:
    """The sign of Re(conj(u) g), entry by entry; from signs where real, which cannot underflow."""
    if jnp.iscomplexobj(u) or jnp.iscomplexobj(g):
        return jnp.real(jnp.conj(jnp.sign(u)) * jnp.sign(g))
    return jnp.sign(u) * jnp.sign(g)
