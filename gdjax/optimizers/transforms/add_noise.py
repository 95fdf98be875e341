"""Gaussian noise of decreasing variance, added to the gradient."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gdjax import tree
from gdjax.calls import as_key, optimizer
from gdjax.types import ArrayLike, PRNGKey


@optimizer(bounds={"eta": "[0, inf)", "gamma": "[0, inf)"}, keys=("key", "seed"), constant=("eta", "gamma"))
def add_noise(eta: ArrayLike, gamma: ArrayLike, key: PRNGKey | None = None, *, seed: PRNGKey | None = None):
    """Add Gaussian noise, less of it as time goes by, to the gradient.

        g <- g + sqrt(eta / t^gamma) z,      z ~ N(0, 1) for each entry

    Args:
        eta: >= 0, gradient units squared; the first step's variance.
        gamma: >= 0; how fast the variance falls, 0.55 in the paper.
        key: a random key or a seed (default: 0); the same one gives the numbers of `optax.add_noise`.
        seed: Optax's older name for key.

    Memory: 0 x params.   Raises: ValueError outside these ranges, or if both key and seed are given.
    Differs from: the paper in that t starts at 1, as in Optax.
    Reference: Neelakantan et al. 2015, equation 1, arXiv:1511.06807.

    >>> opt, x, g = gd.add_noise(0.01, 0.55, key=0), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [1.0199 -2.077]
    """
    start = key_of("add_noise", key, seed)

    def init(params):
        del params
        return optax.AddNoiseState(jnp.zeros((), jnp.int32), as_key(start))

    def update(grads, state, params=None, **extra_args):
        del params, extra_args
        count = tree.increment(state.count)
        deviation = jnp.sqrt(eta / count**gamma)
        next_key, now = jax.random.split(state.rng_key)
        leaves, structure = jax.tree.flatten(grads)
        noisy = [
            (g + deviation * jax.random.normal(key, jnp.shape(g), jnp.result_type(g))).astype(jnp.result_type(g))
            for g, key in zip(leaves, jax.random.split(now, len(leaves)), strict=True)
        ]
        return structure.unflatten(noisy), optax.AddNoiseState(count, next_key)

    return init, update


def key_of(who: str, key: Any, seed: Any) -> Any:
    """The one that is given of key and seed, 0 if none is."""
    if key is not None and seed is not None:
        raise ValueError(f"{who}: only one of key and seed can be given")
    given = key if key is not None else seed
    return 0 if given is None else given
