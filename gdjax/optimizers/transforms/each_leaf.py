"""Transforms of gradient trees from a function of one leaf, or of all leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gdjax import tree

Change = Callable[[jax.Array, Any], jax.Array]  # (g, p) -> g of one leaf; p is None if update got no parameters


def each_leaf(change: Change) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(init, update) that applies change(g, p) to each leaf, computed in at least float32 and rounded once."""

    def change_leaf(g, p=None):
        dtype = tree.arithmetic_dtype(g)
        return change(jnp.asarray(g, dtype), None if p is None else jnp.asarray(p, dtype)).astype(jnp.result_type(g))

    def update(grads, state, params=None, **extra_args):
        del extra_args
        return jax.tree.map(change_leaf, grads, *(() if params is None else (params,))), state

    return no_state, update


def all_leaves(change: Callable[[Any], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(init, update) that applies change(grads) to the whole tree, in the gradients' dtypes."""

    def update(grads, state, params=None, **extra_args):
        del params, extra_args
        return tree.cast_like(change(grads), grads), state

    return no_state, update


def no_state(params: Any) -> optax.EmptyState:
    del params
    return optax.EmptyState()
