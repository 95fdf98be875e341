"""Random guessing, the baseline of every search."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gdjax.search._method import FixedState, best_of, method


@method(
    static=("guesses",),
    bounds={"lower": "(-inf, inf), ...", "upper": "(-inf, inf), ...", "guesses": "[1, inf)"},
    ints=("guesses",),
)
def random_guessing(lower=-1.0, upper=1.0, guesses: int = 1):
    """Random guessing: points drawn evenly in a box, the best of them kept.

    Args:
        lower, upper: the box; numbers, or trees like params or prefixes of one.
        guesses: drawn in each step, at least 1.

    The chance that n guesses all miss a region of a share s of the box is (1 - s)^n: it takes about 1/s of them.

    >>> method = gd.search.random_guessing(0.0, 2.0, guesses=1000)
    >>> print(jnp.round(gd.minimize(lambda x: jnp.sum((x - 1.0) ** 2), jnp.zeros(2), method, max_steps=10).params, 1))
    [1. 1.]
    """

    def init(params, value, key, value_fn):
        return FixedState(params, value, jnp.zeros((), bool))

    def ask(state, key, value_fn):
        leaves, structure = jax.tree.flatten(state.params)
        lows, highs = (jax.tree.leaves(jax.tree.broadcast(x, state.params)) for x in (lower, upper))
        keys = jax.random.split(key, len(leaves))
        drawn = [
            low + (high - low) * jax.random.uniform(k, (guesses, *x.shape), x.dtype)
            for k, x, low, high in zip(keys, leaves, lows, highs, strict=True)
        ]
        return structure.unflatten(drawn), state

    def tell(state, candidates, values):
        params, value, _ = best_of(state, candidates, values)
        return FixedState(params, value, state.done)

    return init, ask, tell
