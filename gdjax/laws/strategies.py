"""Hypothesis strategies: trees of parameters, their dtypes, and gradients for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

DRAWS = hypothesis.settings(  # settings of the laws: the same examples each time, with limited shrinking
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
)
_DTYPES = (jnp.float32, jnp.bfloat16, jnp.float16)
_SHAPES = ((), (1,), (2,), (2, 2), (0,), (3, 1), (0, 3), (2, 1, 2))
_KEYS = ("b", "a", "w")


def dtypes(complex: bool = False) -> st.SearchStrategy[Any]:
    """Dtypes of parameters: float32, then the 16-bit floats; with `complex`, complex64 too.

    >>> import hypothesis
    >>> from gdjax import laws
    >>> hypothesis.find(laws.dtypes(), lambda dtype: dtype.itemsize == 2)
    dtype(bfloat16)
    """
    return st.sampled_from([*_DTYPES, *([jnp.complex64] if complex else [])]).map(jnp.dtype)


def trees(
    dtypes: st.SearchStrategy[Any] | None = None,
    shapes: Sequence[tuple[int, ...]] = _SHAPES,
    max_leaves: int = 4,
    empty: bool = True,
) -> st.SearchStrategy[Any]:
    """Trees of parameters: bare arrays, dicts, lists and tuples of them, with None, empty leaves and empty nodes.

    They shrink toward a bare scalar. Entries are between -2 and 2 and determined by the shape, so that examples are small.

    Args:
        dtypes: dtypes of the leaves, drawn for each leaf (default: float32 only).
        shapes: shapes of the leaves, the simplest first.
        max_leaves: > 0, approximate maximal number of leaves.
        empty: whether None and nodes without leaves occur.

    >>> import hypothesis
    >>> from gdjax import laws
    >>> hypothesis.find(laws.trees(), lambda tree: isinstance(tree, dict))
    {}
    """
    leaves = st.builds(_leaf, st.sampled_from(shapes), st.just(jnp.dtype(jnp.float32)) if dtypes is None else dtypes)

    def nodes(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        holes = st.one_of(children, st.none()) if empty else children
        some = st.lists(holes, min_size=0 if empty else 1, max_size=3)
        keyed = st.dictionaries(st.sampled_from(_KEYS), holes, min_size=0 if empty else 1, max_size=3)
        return st.one_of(keyed, some, some.map(tuple))

    return st.recursive(leaves, nodes, max_leaves=max_leaves)


def gradients(tree: Any, largest: float = 1e3, dtypes: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[Any]:
    """Gradients for a tree of parameters: finite numbers of every size, and exact zeros.

    They shrink toward zero. Each leaf is zero, or a scale times entries between -1 and 1.

    Args:
        tree: the parameters.
        largest: > 0, the largest absolute value of an entry.
        dtypes: dtypes of the gradients (default: those of the parameters).

    >>> import hypothesis
    >>> from gdjax import laws
    >>> hypothesis.find(laws.gradients({"b": jnp.ones(2)}), lambda grads: True)
    {'b': Array([0., 0.], dtype=float32)}
    """
    sizes = [0.0, 1.0, *(x for x in (1e-3, 1e-8, 1e-20, 1e-38, 1e3, 1e8, largest) if x <= largest)]
    leaves, structure = jax.tree.flatten(tree)

    def grads(drawn: list[tuple[float, int, Any]]) -> Any:
        return structure.unflatten(
            [
                _entries(p.shape, dtype or p.dtype, size, seed)
                for p, (size, seed, dtype) in zip(leaves, drawn, strict=True)
            ]
        )

    one = st.tuples(st.sampled_from(sizes), st.integers(0, 99), st.none() if dtypes is None else dtypes)
    return st.lists(one, min_size=len(leaves), max_size=len(leaves)).map(grads)


def _leaf(shape: tuple[int, ...], dtype: Any) -> jax.Array:
    return _entries(shape, dtype, 2.0, len(shape))


def _entries(shape: tuple[int, ...], dtype: Any, size: float, seed: int) -> jax.Array:
    """Entries of at most a given size, the first of exactly this size; with seed 0 all are of this size."""
    dtype, rng = jnp.dtype(dtype), np.random.default_rng(seed)
    values = rng.uniform(-1, 1, shape) if seed else np.ones(shape)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        values = values + 1j * rng.uniform(-1, 1, shape)
    values = np.asarray(values)
    if values.size:
        values.flat[0] = 1
    return jnp.asarray(size * values, dtype)
