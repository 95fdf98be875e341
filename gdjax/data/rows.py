"""Conversion of a user's data: arrays of any library, tables, lists of rows, a `Dataset`; errors say what to write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from gdjax.data.arrays import Dataset, as_arrays
from gdjax.tree import path_string, refuse_masked
from gdjax.types import Source


def as_rows(who: str, data: Any, on_host: bool = False) -> Any:
    """A pytree of arrays whose leading axes are the rows.

    A `Dataset` becomes its (x, y); lists of numbers, tensors and data frames of numbers become arrays.

    Args:
        on_host: whether they become arrays of NumPy, of which devices take their parts later.

    Raises: TypeError for what gives batches one by one (a generator, a loader), for text, for a number in place of data;
        ValueError for a number beyond its dtype; all name `who` and what to write.

    >>> print(gd.data.as_rows("my_function", [[1.0, 2.0], [3.0, 4.0]]))
    [[1. 2.]
     [3. 4.]]
    """
    if data is None or isinstance(data, jax.Array):
        return data
    return as_arrays(who, as_leaves(who, data), on_host)


def as_leaves(who: str, data: Any) -> Any:
    """As `as_rows`, but arrays stay as they are: those of NumPy on the host, in their dtypes."""
    if isinstance(data, Dataset):
        data = (data.x, data.y)
    if type(data) is tuple:
        data = tuple(_stack(part, [other for other in data if other is not part]) for part in data)
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: _leaf(who, path, leaf),
        data,
        is_leaf=lambda x: isinstance(x, (Dataset, Iterator)) or _is_array_in_a_list(x),
    )


def _stack(part: Any, others: list[Any]) -> Any:
    """A list of rows, each an array, stacked into one array; only if the other parts have as many rows as the list."""
    if not isinstance(part, list) or len({np.shape(x) if hasattr(x, "shape") else None for x in part}) != 1:
        return part
    shape, lengths = (
        getattr(part[0], "shape", None),
        {len(x) for x in others if isinstance(x, list) or getattr(x, "ndim", 0)},
    )
    if shape is None or lengths != {len(part)} or shape[:1] == (len(part),):
        return part
    return np.stack([np.asarray(x) for x in part])


def _is_array_in_a_list(x: Any) -> bool:
    """Whether x is a list of numbers or strings, or of lists or tuples of these."""
    if not isinstance(x, list) or not x:
        return False
    first = x[0]
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    return isinstance(first, (int, float, complex, str, np.generic))


def _leaf(who: str, path: tuple[Any, ...], leaf: Any) -> Any:
    refuse_masked(who, path, leaf)
    where = f" at {path_string(path)}" if path else ""
    if isinstance(leaf, Dataset):
        raise TypeError(f"{who}: data must be arrays, got a Dataset{where}: give the Dataset alone, or its .x and .y")
    if isinstance(leaf, list):
        return _array_of_list(who, where, leaf)
    if hasattr(leaf, "detach"):  # a tensor of torch, on any device
        return np.asarray(leaf.detach().cpu())
    if isinstance(leaf, (int, float)) and not path:
        raise TypeError(
            f"{who}: data must be arrays that share their leading axis, got the number {leaf!r}; to hold out a share of the "
            f"rows write train, validation = gd.data.split(data, (0.8, 0.2), jax.random.key(0))"
        )
    is_array = hasattr(leaf, "dtype") or hasattr(leaf, "__array__")
    if not is_array and hasattr(leaf, "__iter__") and not isinstance(leaf, (str, bytes)):
        raise TypeError(
            f"{who}: data must be arrays with all rows, got a {type(leaf).__name__}{where}; fit and segments take an object "
            "that gives batches one by one, alone as their data"
        )
    if not is_array and isinstance(leaf, Source):
        raise TypeError(
            f"{who}: data must be arrays with all rows, got a {type(leaf).__name__}{where}; fit and segments read it on the "
            "host, alone as their data; for its first rows write source.rows(range(1000))"
        )
    return _without_text(who, where, leaf) if is_array or isinstance(leaf, (str, bytes)) else leaf


def _array_of_list(who: str, where: str, rows: list[Any]) -> np.ndarray:
    try:
        return _without_text(who, where, np.asarray(rows))
    except ValueError:
        raise TypeError(
            f"{who}: a list of rows must be an array of numbers, got rows of different shapes{where}; of pairs write "
            "(np.array([x for x, _ in rows]), np.array([y for _, y in rows]))"
        ) from None


def _without_text(who: str, where: str, leaf: Any) -> Any:
    """The array. Raises: TypeError if it contains text."""
    columns = getattr(leaf, "columns", ())  # columns of a data frame
    text = [str(name) for name in columns if getattr(getattr(leaf[name], "dtype", None), "kind", "O") in "OSU"]
    if text:
        raise TypeError(
            f"{who}: a table must hold numbers or bools alone, got text or objects in the columns {', '.join(text)}{where}; "
            "write pandas.get_dummies(frame, dtype=float), or leave them out"
        )
    if getattr(getattr(leaf, "dtype", None), "kind", "O") not in "OSU":
        return leaf
    values = np.asarray(leaf)
    if values.size and isinstance(np.ravel(values)[0], (str, bytes)):
        raise TypeError(
            f"{who}: arrays of numbers or bools are needed, got {values.dtype}{where}, text such as "
            f"{str(np.ravel(values)[0])!r}; of labels write names, y = np.unique(y, return_inverse=True)"
        )
    return leaf
