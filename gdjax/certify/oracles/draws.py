"""Normal numbers that an optimizer and its oracle both draw from one key; cached, since nine cases use the same ones.

They have the dtype of the optimizer's arithmetic, which is float32 for bfloat16 parameters too.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

Leaves = tuple[tuple[tuple[int, ...], str], ...]  # (shape, dtype) of each


def split_normals(key: Any, leaves: Leaves, twice: bool) -> tuple[Any, list[np.ndarray]]:
    """(next key, one array per leaf): the leaves' keys are split from the key or, with `twice`, from a second split key."""
    data, *normals = _split(_bits(key), str(jax.random.key_impl(key)), _canonical(leaves), twice)
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(key)), normals


def leaf_normal(key: Any, step: int, i: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """The numbers for leaf i of a step, drawn with the key folded with the step, then with i."""
    return _leaf_normal(
        _bits(key), str(jax.random.key_impl(key)), step, i, shape, str(jax.dtypes.canonicalize_dtype(dtype))
    )


def _bits(key: Any) -> tuple[int, ...]:
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


@functools.lru_cache(maxsize=4096)
def _split(bits: tuple[int, ...], impl: str, leaves: Leaves, twice: bool) -> tuple[Any, ...]:
    drawn = _split_program(np.asarray(bits, np.uint32), impl, leaves, twice)
    return tuple(np.asarray(x) for x in drawn)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _split_program(data: Any, impl: str, leaves: Leaves, twice: bool) -> tuple[Any, ...]:
    key = jax.random.wrap_key_data(data, impl=impl)
    if twice:
        following, key = jax.random.split(key)
        keys = jax.random.split(key, len(leaves))
    else:
        following, *keys = jax.random.split(key, len(leaves) + 1)
    normals = (jax.random.normal(k, shape, dtype) for k, (shape, dtype) in zip(keys, leaves, strict=True))
    return jax.random.key_data(following), *normals


@functools.lru_cache(maxsize=16384)
def _leaf_normal(bits: tuple[int, ...], impl: str, step: int, i: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.asarray(_leaf_normal_program(np.asarray(bits, np.uint32), impl, step, i, shape, dtype))


@functools.partial(jax.jit, static_argnums=(1, 4, 5))
def _leaf_normal_program(data: Any, impl: str, step: Any, i: Any, shape: tuple[int, ...], dtype: str) -> Any:
    key = jax.random.wrap_key_data(data, impl=impl)
    return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, step), i), shape, dtype)


def _canonical(leaves: Leaves) -> Leaves:
    return tuple((shape, str(jax.dtypes.canonicalize_dtype(dtype))) for shape, dtype in leaves)
