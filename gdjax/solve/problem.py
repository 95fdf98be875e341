"""Checks of a problem before a run: the function, the initial parameters and the number of recorded rows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gdjax import tree
from gdjax.domain import as_length
from gdjax.forms import explain_errors
from gdjax.params import check_parameters
from gdjax.text import short
from gdjax.types import Params


def check_params(who: str, params: Params) -> Params:
    check_parameters(who, params)
    leaves, structure = jax.tree.flatten(params)
    if not leaves:
        raise ValueError(f"{who}: params must have at least one array, got {params!r}")
    arrays = [_array(who, x) for x in leaves]
    if not all(jnp.issubdtype(x.dtype, jnp.inexact) for x in arrays):
        paths = jax.tree_util.tree_leaves_with_path(structure.unflatten(arrays))
        path, dtype = next((path, x.dtype) for path, x in paths if not jnp.issubdtype(x.dtype, jnp.inexact))
        raise ValueError(
            f"{who}: {tree.leaf_name('params', path)} must be floating to descend, write 1.0 for 1, got {dtype}"
        )
    return structure.unflatten(arrays)


def _array(who: str, x: Any) -> jax.Array | np.ndarray:
    try:
        return x if isinstance(x, jax.Array) else np.asarray(x, jnp.result_type(x))
    except TypeError:
        raise TypeError(f"{who}: params must be arrays or numbers, got {short(repr(x))}") from None
    except OverflowError:
        raise ValueError(
            f"{who}: params must be floating to descend, write {short(str(x))}.0 for {short(str(x))}"
        ) from None


def scalar(who: str, f: Callable[..., Any], args: tuple[Any, ...]) -> Callable[[Params], jax.Array]:
    """f as a function of the parameters alone, which raises ValueError unless f returns one real floating number."""

    def of_params(params: Params) -> jax.Array:
        with explain_errors(who):
            value = f(params, *args)
        shape, dtype = getattr(value, "shape", ()), getattr(value, "dtype", type(value))
        if not isinstance(value, (jax.Array, np.ndarray, np.generic, float)):
            raise ValueError(f"{who}: f must return one real floating number, got a {type(value).__name__}")
        if shape != () or not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(f"{who}: f must return one real floating number, got {dtype} of shape {shape}")
        return jnp.asarray(value)

    return of_params


def record_capacity(who: str, record: int | bool | None, max_steps: Any) -> int | None:
    """The number of rows to record; None for no path."""
    if record is None or record is False:
        return None
    if record is True:
        if isinstance(max_steps, Tracer):
            raise ValueError(f"{who}: record=True needs a static max_steps to make room for; give a number of rows")
        return int(max_steps) + 1
    if record < 2:
        raise ValueError(f"{who}: record must be True or at least 2 rows, got {record}")
    return as_length(who, "record", record)


def with_captured(
    f: Callable[..., Any], params: Params, args: tuple[Any, ...]
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """f and its arguments, including the tracers that f captured, so that these can be differentiated too."""
    f, captured = jax.closure_convert(functools.partial(f), params, *args)
    return f, (*args, *captured)


def is_traced(x: Any) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x))


def value_dtype(params: Params) -> Any:
    return jnp.finfo(tree.arithmetic_dtype(*jax.tree.leaves(params))).dtype
