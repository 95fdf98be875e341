"""Gradients made into others before the inner optimizer sees them: noisy, centred, of unit length, orthogonal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls.node import Key, Optimizer, as_key, as_optimizer, optimizer
from gdjax.optimizers.newton_schulz import COEFFICIENTS, newton_schulz

Change = Callable[[jax.Array, Any], jax.Array]  # (g, p) -> g of one leaf; p is None if update got no parameters


def feed(inner: Optimizer, change: Change) -> tuple[Callable, Callable]:
    """(init, update) of an optimizer that sees change(g, p) in the place of each leaf g of the gradient."""

    def update(grads, state, params=None, **extra_args):
        def changed(g, p=None):
            dtype = tree.arithmetic_dtype(g)
            return change(jnp.asarray(g, dtype), None if p is None else jnp.asarray(p, dtype)).astype(
                jnp.result_type(g)
            )

        rest = () if params is None else (params,)
        fed = jax.tree.map(changed, grads, *rest)
        return inner.update(fed, state, params, **extra_args)

    return inner.init, update


class AddNoiseState(NamedTuple):
    count: jax.Array  # updates so far, () int32
    rng_key: jax.Array
    inner: Any


@optimizer(bounds={"eta": "[0, inf)", "gamma": "[0, inf)"})
def add_noise(inner, eta, gamma, key: Key = 0):
    """Add Gaussian noise, less of it as time goes by, to the gradient that the inner optimizer sees.

        g <- g + sqrt(eta / t^gamma) z,      z ~ N(0, 1) for each entry

    Args:
        inner: the optimizer to feed.
        eta: >= 0, gradient units squared; the first step's variance.
        gamma: >= 0; how fast the variance falls, 0.55 in the paper.
        key: a random key or a seed; the same one gives the numbers of `optax.add_noise`.

    Memory: 0 + inner.
    Differs from: the paper in that t starts at 1, as in Optax.
    Reference: Neelakantan et al. 2015, equation 1, arXiv:1511.06807.
    """
    inner = as_optimizer(inner)

    def init(params):
        return AddNoiseState(jnp.zeros((), jnp.int32), as_key(key), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        count = tree.increment(state.count)
        deviation = jnp.sqrt(eta / count**gamma)
        next_key, now = jax.random.split(state.rng_key)
        leaves, structure = jax.tree.flatten(grads)
        noisy = [
            (g + deviation * jax.random.normal(key, jnp.shape(g), jnp.result_type(g))).astype(jnp.result_type(g))
            for g, key in zip(leaves, jax.random.split(now, len(leaves)), strict=True)
        ]
        updates, inner_state = inner.update(structure.unflatten(noisy), state.inner, params, **extra_args)
        return updates, AddNoiseState(count, next_key, inner_state)

    return init, update


@optimizer(static=("axis",))
def centralize(inner, axis: int | tuple[int, ...] | None = None):
    """Take its mean off the gradient of each matrix before the inner optimizer sees it.

        g <- g - mean(g)        over `axis`, for leaves of two axes or more that are longer than 1 along it

    Args:
        inner: the optimizer to feed.
        axis: the axes of the mean; None: all but the first, as in Optax. The paper's mean is over a unit's inputs: for
            kernels (inputs, outputs), as those of `gdjax.models`, that is axis=0.

    Memory: 0 + inner.
    Differs from: Optax, where a kernel (inputs, 1) never moves: each mean is over the one entry.
    Reference: Yong, Huang, Hua & Zhang 2020, equation 1, arXiv:2004.01461.
    """

    def centred(g: jax.Array, p: Any) -> jax.Array:
        if g.ndim < 2 or g.size == 0:
            return g
        mean = jnp.mean(g, axis=tuple(range(1, g.ndim)) if axis is None else axis, keepdims=True)
        return g if mean.shape == g.shape else g - mean  # over one entry each it would be the gradient itself

    return feed(as_optimizer(inner), centred)


@optimizer
def normalize(inner):
    """Give the gradient length 1, all leaves together, before the inner optimizer sees it.

        g <- g / |g|,      0 where |g| = 0

    Args:
        inner: the optimizer to feed.

    Memory: 0 + inner.
    Differs from: Optax's contrib.normalize, which gives NaN at a zero gradient.
    Reference: Hazan, Levy & Shalev-Shwartz 2015, Algorithm 1, arXiv:1507.02030.
    """
    inner = as_optimizer(inner)

    def update(grads, state, params=None, **extra_args):
        return inner.update(tree.cast_like(tree.direction(grads), grads), state, params, **extra_args)

    return inner.init, update


@optimizer(static=("ns_steps",), bounds={"eps": "(0, inf)"})
def orthogonalize(inner, ns_coeffs: tuple = COEFFICIENTS, ns_steps: int = 5, eps=1e-8):
    """Make the gradient of each matrix orthogonal, all its singular values about 1, before the inner optimizer sees it.

        g = U S V^T,      g <- U V^T            by ns_steps of X <- a X + (b X X^T + c (X X^T)²) X from g / (|g| + eps)

    Leaves of more than two axes are matrices (all but the last, the last); vectors and scalars are left as they are.

    Args:
        inner: the optimizer to feed.
        ns_coeffs: (a, b, c) of the iteration.
        ns_steps: how often it is done.
        eps: > 0, gradient units; keeps a zero gradient zero.

    Memory: 0 + inner.
    Differs from: `muon`, which makes the average of the gradients orthogonal, not each of them.
    Reference: Tuddenham, Prügel-Bennett & Hare 2022, arXiv:2202.07052 (there by singular value decomposition).
    """

    def orthogonal(g: jax.Array, p: Any) -> jax.Array:
        if g.ndim < 2 or g.size == 0:
            return g
        return newton_schulz(g.reshape(-1, g.shape[-1]), ns_coeffs, ns_steps, eps).reshape(g.shape)

    return feed(as_optimizer(inner), orthogonal)
