"""Spike-timing dependent plasticity: weights that learn from the order of spikes, without a gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import at_count
from gdjax.types import ArrayLike, OptState, ScalarOrSchedule


class Spikes(NamedTuple):
    """The spikes of one time step at a matrix of weights (in, out): 1 for a neuron that fires, else 0."""

    pre: jax.Array  # (in,), of the neurons before the weights
    post: jax.Array  # (out,), of those after them


@optimizer(
    bounds={
        "learning_rate": "[0, inf)",
        "depression": "[0, inf)",
        "time_constant": "(0, inf)",
        "dependence": "[0, inf)",
    },
    constant=("depression", "time_constant", "dependence"),
)
def stdp(
    learning_rate: ScalarOrSchedule,
    depression: ArrayLike = 1.0,
    time_constant: ArrayLike = 20.0,
    dependence: ArrayLike = 0.0,
):
    """STDP: a weight grows where the neuron before it fires first, and shrinks where it fires later.

        u = learning_rate exp(-|t_pre - t_post| / time_constant) (1 - w)^dependence                   t_pre <= t_post
        u = -learning_rate depression exp(-|t_pre - t_post| / time_constant) w^dependence             t_pre > t_post

    summed over all pairs of a spike before and one after the weight. It needs no gradient: in its place `update` takes the
    spikes of one time step, `Spikes(pre, post)` for every matrix of the parameters, and the state remembers the earlier
    ones as traces that decay, so that the pairs are counted as they are completed:

        x <- exp(-1 / time_constant) x + pre,    y <- exp(-1 / time_constant) y
        u = learning_rate ((1 - w)^dependence x post^T - depression w^dependence pre y^T),    y <- y + post

    Weights are between 0 and 1 where they depend on w, and free where dependence is 0, as in the reference's equation (1).
    Alone the rule has no equilibrium: let neurons compete, normalize the columns of w, or bound them by `project`.

    Args:
        learning_rate: parameter units per pair; number, array or schedule of the time steps.
        depression: >= 0; how much a pair in the wrong order counts.
        time_constant: > 0, time steps.
        dependence: >= 0; 0 for changes that do not depend on the weight, 1 for changes in proportion to what is left.

    Memory: in + out for a matrix (in, out).   Raises: ValueError outside these ranges, for parameters that are no matrices
    (put None in their place), and for spikes of another shape; TypeError for a gradient.
    Reference: Tavanaei et al. 2019, equation (1), arXiv:1804.08150; the dependence on w, Gütig et al. 2003.

    >>> opt, w = gd.stdp(0.1, time_constant=1.0), jnp.full((2, 1), 0.5)
    >>> state = opt.init(w)
    >>> for pre, post in (((1, 0), (0,)), ((0, 0), (1,)), ((0, 1), (0,))):
    ...     u, state = opt.update(gd.Spikes(jnp.array(pre), jnp.array(post)), state, w)
    ...     w = optax.apply_updates(w, u)
    >>> print(w)
    [[0.53679]
     [0.46321]]
    """

    def init(params: Any) -> OptState:
        for path, w in jax.tree_util.tree_leaves_with_path(params):
            if np.ndim(w) != 2:
                name = tree.leaf_name("params", path)
                raise ValueError(
                    f"stdp: {name} must be a matrix (in, out), got shape {np.shape(w)}; put None in its place"
                )
        x, y = (jax.tree.map(lambda w, i=i: jnp.zeros(w.shape[i], tree.arithmetic_dtype(w)), params) for i in (0, 1))
        return OptState(count=jnp.zeros((), jnp.int32) if callable(learning_rate) else None, slots={"x": x, "y": y})

    def update(spikes: Any, state: OptState, params: Any = None, **extra_args: Any) -> tuple[Any, OptState]:
        tree.need_params("stdp", params)
        rate, decay = at_count(state.count, learning_rate), jnp.exp(-1 / jnp.asarray(time_constant, float))

        def change(fired, w, x, y):
            pre, post = (jnp.asarray(each, x.dtype) for each in fired)
            wide, now, faded = w.astype(x.dtype), decay * x + pre, decay * y
            grown = jnp.maximum(1 - wide, 0) ** dependence * jnp.outer(now, post)
            shrunk = jnp.maximum(wide, 0) ** dependence * jnp.outer(pre, faded)
            u = rate * (grown - depression * shrunk)
            return u.astype(w.dtype), now.astype(x.dtype), (faded + post).astype(y.dtype)

        leaves, structure = jax.tree.flatten(params)
        traces = (structure.flatten_up_to(state.slots[name]) for name in ("x", "y"))
        done = list(map(change, _spikes_of_leaves(spikes, params), leaves, *traces))
        updates, x, y = (structure.unflatten([each[i] for each in done]) for i in range(3))
        count = None if state.count is None else tree.increment(state.count)
        return updates, OptState(count, {"x": x, "y": y})

    return init, update


def _spikes_of_leaves(spikes: Any, params: Any) -> list[Spikes]:
    """The spikes of each matrix, in order, after checking them."""
    paths = jax.tree_util.tree_leaves_with_path(params)
    try:
        found = jax.tree.structure(params).flatten_up_to(spikes)
    except ValueError:
        raise _no_spikes(f"a tree of another structure, {jax.tree.structure(spikes)}") from None
    for (path, w), fired in zip(paths, found, strict=True):
        if not isinstance(fired, Spikes):
            raise _no_spikes(f"an array of shape {np.shape(fired)}; it takes no gradient")
        shapes = np.shape(fired.pre), np.shape(fired.post)
        if shapes != (w.shape[:1], w.shape[1:]):
            raise ValueError(
                f"stdp: {tree.leaf_name('updates', path)} must have pre {w.shape[:1]} and post {w.shape[1:]}, got "
                f"{shapes[0]} and {shapes[1]} (for many examples at once: jax.vmap)"
            )
    return found


def _no_spikes(got: str) -> TypeError:
    return TypeError(
        f"stdp: updates must be Spikes(pre, post) in the place of every matrix of the parameters, got {got}"
    )
