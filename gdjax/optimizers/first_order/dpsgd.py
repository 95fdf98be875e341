"""Differentially private descent: per-example gradients are clipped, and noise is added."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import WithRate, as_key, inner_state, optimizer, rate_of
from gdjax.optimizers.first_order.sgd import sgd
from gdjax.types import ArrayLike, PRNGKey, ScalarOrSchedule


class PrivateState(NamedTuple):
    rng_key: jax.Array
    inner: Any  # of the descent that follows


@optimizer(
    static=("nesterov",),
    bounds={
        "learning_rate": "[0, inf)",
        "l2_norm_clip": "[0, inf)",
        "noise_multiplier": "[0, inf)",
        "momentum": "[0, 1)",
    },
    keys=("seed",),
    constant=("l2_norm_clip", "noise_multiplier"),
)
def dpsgd(
    learning_rate: ScalarOrSchedule,
    l2_norm_clip: ArrayLike,
    noise_multiplier: ArrayLike,
    seed: PRNGKey,
    momentum: ScalarOrSchedule | None = None,
    nesterov: bool = False,
):
    """DP-SGD: descent along clipped gradients of single examples with noise, so that no example can be told from it.

        g_i <- g_i min(1, l2_norm_clip / |g_i|)                         |g_i| of example i, over all leaves together
        g = (sum g_i + l2_norm_clip noise_multiplier z) / n,            z normal, n the number of examples
        u = -learning_rate g      or momentum on it, as `sgd`

    The gradients have a leading axis of examples that the parameters have not: `jax.vmap(jax.grad(loss), (None, 0))`.
    What privacy a run has follows from noise_multiplier, n / (all examples) and the number of steps; an accountant says it.

    Args:
        learning_rate: parameter units per gradient unit; number, array or schedule.
        l2_norm_clip: >= 0, gradient units; no example counts for more.
        noise_multiplier: >= 0; the noise's standard deviation in units of l2_norm_clip.
        seed: a seed or key of the noise; private only if it is secret.
        momentum: in [0, 1) or None; see `sgd`.
        nesterov: of that momentum.

    Memory: 0 x params (+1 momentum) + the gradients of all examples.   Raises: ValueError outside these ranges.
    Reference: Abadi et al. 2016, Algorithm 1, arXiv:1607.00133.

    >>> opt, x = gd.dpsgd(0.1, l2_norm_clip=1.0, noise_multiplier=0.0, seed=0), jnp.ones(2)
    >>> g = jnp.array([[3.0, -4.0], [0.3, 0.4]])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [-0.045 0.02]
    """
    descent = sgd(learning_rate, momentum, nesterov)

    def init(params):
        return PrivateState(as_key(seed), descent.init(params))

    def update(grads, state, params=None, **extra_args):
        like = params if params is not None else state.inner.slots.get("trace")
        number = _examples(grads, like)
        leaves, structure = jax.tree.flatten(grads)
        new_key, *keys = jax.random.split(state.rng_key, len(leaves) + 1)
        scale = l2_norm_clip * noise_multiplier

        def noisy(total, key):
            return (total + scale * jax.random.normal(key, total.shape, total.dtype)) / number

        totals = _clipped_sums(leaves, l2_norm_clip)
        mean = structure.unflatten([noisy(total, key) for total, key in zip(totals, keys, strict=True)])
        updates, inner = descent.update(mean, state.inner, params, **extra_args)
        return updates, PrivateState(new_key, inner)

    return WithRate(init, update, lambda state, _: rate_of(learning_rate, inner_state(state)))


def _clipped_sums(leaves: list[jax.Array], max_norm: Any) -> list[jax.Array]:
    """The sum over examples, (n, ...) -> (...), at least float32, each shortened to a largest norm."""
    wide = [g.astype(tree.arithmetic_dtype(g)) for g in leaves]
    if not wide:
        return []
    size, scale = jax.vmap(tree.norm)(wide)
    outside = size > max_norm * scale
    factors = jnp.where(outside, scale, 1) * (jnp.where(outside, max_norm, 1) / jnp.where(outside, size, 1))
    return [jnp.tensordot(factors.astype(jnp.finfo(g.dtype).dtype), g, axes=1) for g in wide]


def _examples(grads: Any, like: Any) -> int:
    """How many examples the gradients are of; all leaves must say the same."""
    found = jax.tree_util.tree_leaves_with_path(grads)
    if like is None:
        like = jax.tree.map(lambda g: g[0], grads)
    tree.check_like("dpsgd", "grads", jax.tree.map(lambda _: 0, grads), "params", jax.tree.map(lambda _: 0, like))
    number = found[0][1].shape[0] if found and found[0][1].ndim else 1
    for (path, g), x in zip(found, jax.tree.leaves(like), strict=True):
        if g.shape != (number, *x.shape):
            raise ValueError(
                f"dpsgd: {tree.leaf_name('grads', path)} must have shape {(number, *x.shape)}, one row per example, "
                f"got {g.shape}"
            )
    return number
