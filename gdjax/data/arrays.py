"""Operations on data in memory: counting, taking, splitting and scaling rows, and transfer to the device.

Data is any pytree of arrays that share their leading axis: `(x, y)`, a dict, one array. Row i of the data is row i of every
leaf.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gdjax.calls import is_concrete
from gdjax.data.shards import Shards
from gdjax.domain import as_random_key
from gdjax.meshes import on_automatic_axes, replicate
from gdjax.tree import path_string, refuse_masked
from gdjax.types import Batch

TASKS = ("classification", "regression")


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Named arrays on the host: inputs `x` and targets `y`.

        classification: y (n,) int32 in [0, C), C = len(target_names)        regression: y (n,) float64 or float32

    Tables are kept in float64 until they are scaled: timestamps, identifiers or columns around 1e-20 would lose their digits
    in float32.

    Args:
        shape: of a row of x that is an image (height, width, channels) or a series (length, channels), handed in flat; ()
            where the columns have nothing to do with each other.
        test_rows: how many of the rows, the last ones, are the test rows by the custom of this data.

    Raises: ValueError if x is not (n, d) float64 or float32, its rows have not this shape, or y is not as above.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    task: str
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...] = ()
    description: str = ""
    shape: tuple[int, ...] = ()
    test_rows: int = 0

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"{self.name}: task must be one of {', '.join(TASKS)}, got {self.task!r}")
        n, d = num_rows(self.x), len(self.feature_names)
        floats = np.float64, np.float32
        _check_array(self.name, "x", self.x, (n, d), floats)
        _check_array(self.name, "y", self.y, (n,), (np.int32,) if self.task == "classification" else floats)
        if self.shape and math.prod(self.shape) != d:
            raise ValueError(f"{self.name}: rows of shape {self.shape} have {math.prod(self.shape)} numbers, got {d}")
        if self.task == "classification" and not 0 <= self.y.min() <= self.y.max() < len(self.target_names):
            found = f"{self.y.min()} to {self.y.max()}"
            raise ValueError(f"{self.name}: labels must be in [0, {len(self.target_names)}), got {found}")


class Scaling(NamedTuple):
    """Mean and scale of every column: its standard deviation, or 1 if it is constant; see `fit_scaling`."""

    mean: Any
    scale: Any


def num_rows(data: Batch) -> int:
    """The length of the leading axis that all leaves share; also under `jit`.

    Raises: ValueError for no leaf, a scalar, lengths that differ, zero rows; it names the path.

    >>> print(gd.data.num_rows((jnp.zeros((3, 2)), jnp.zeros(3))))
    3
    """
    if isinstance(data, Shards):
        return data.count
    shapes = {path_string(path): np.shape(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(data)}
    if not shapes:
        raise ValueError("num_rows: data must have at least one array, got none")
    for path, shape in shapes.items():
        if not shape:
            raise ValueError(f"num_rows: every leaf must have a leading axis, got a scalar at {path}")
    (first, (rows, *_)), *others = shapes.items()
    for path, shape in others:
        if shape[0] != rows:
            raise ValueError(
                f"num_rows: all leaves must have as many rows, got {rows} at {first} and {shape[0]} at {path}"
            )
    if not rows:
        raise ValueError(f"num_rows: data must have at least one row, got none at {first}")
    return rows


def take(data: Batch, indices: Any) -> Batch:
    """The rows at the indices, of every leaf: `x[indices]`.

    >>> print(gd.data.take((jnp.arange(3.0), jnp.arange(6).reshape(3, 2)), jnp.array([2, 0])))
    (Array([2., 0.], dtype=float32), Array([[4, 5],
           [0, 1]], dtype=int32))
    """
    return on_automatic_axes(_take, replicate, data, indices)


def _take(data: Batch, indices: Any) -> Batch:
    if isinstance(data, Shards):
        return data.take(indices)
    return jax.tree.map(lambda x: x[indices], data)


def split(data: Batch, fractions: Sequence[float], key: jax.Array | int, stratify: Any = None) -> tuple[Batch, ...]:
    """A random split of the rows: disjoint parts that together are the data, each in random order.

    Args:
        data: concrete arrays; NumPy arrays stay such.
        fractions: of the rows, one per part, each in (0, 1], together 1. Sizes are n times the fractions,
            rounded by largest remainder.
        key: of any kind, or a whole number; its bits seed NumPy's generator, on the host.
        stratify: (n,) labels. Every part then has each class within one row of its exact share, also a class
            with fewer rows than there are parts (some parts go without). Sizes stay as above for up to four
            parts; among five or more, some may be a row off.

    Raises: ValueError for other fractions, labels of another length, and for a part left without rows.

    >>> train, test = gd.data.split(jnp.arange(10), (0.8, 0.2), jax.random.key(0))
    >>> print(len(train), len(test), sorted([*train.tolist(), *test.tolist()]))
    8 2 [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    rows = num_rows(data)
    shares = _check_fractions(fractions)
    labels = np.zeros(rows, np.int32) if stratify is None else np.asarray(stratify)
    if labels.shape != (rows,):
        raise ValueError(f"split: stratify must have shape ({rows},), got {labels.shape}")
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    generator = np.random.default_rng(np.asarray(jax.random.key_data(as_random_key("split", key))))
    shuffled = generator.permutation(rows)
    table = apportion(counts, shares, generator)
    for fraction, size in zip(fractions, table.sum(0), strict=True):
        if not size:
            raise ValueError(f"split: every part must get a row, got none of {rows} for fraction {fraction}")
    part = np.empty(rows, np.int32)
    for label, sizes in enumerate(table):
        part[shuffled[classes[shuffled] == label]] = np.repeat(np.arange(len(shares)), sizes)
    return tuple(take(data, shuffled[part[shuffled] == i]) for i in range(len(shares)))


def fit_scaling(x: Any) -> Scaling:
    """Mean and standard deviation over the rows; fit it to the training rows alone.

        mean = sum_i x_i / n        scale = sqrt(sum_i (x_i - mean)² / n), and 1 if all x_i are equal

    It is computed on the host in float64, for columns of any offset and unit.

    Args:
        x: (n, ...), numbers. Traced arrays are used in their own dtype, integers in the default float.

    Returns: a `Scaling` of float64 NumPy arrays (...), or of traced ones, to be stored with the parameters.

    >>> print(gd.data.fit_scaling(jnp.array([[1.0], [3.0]])))
    Scaling(mean=array([2.]), scale=array([1.]))
    """
    num_rows(x)
    x = _floats(x)
    offsets = x - x[0]  # exactly 0 in a constant column
    size = abs(offsets).max(axis=0)
    unit = size + (size == 0)  # so that no square overflows or underflows
    offsets = offsets / unit
    shift = offsets.mean(axis=0)
    deviation = unit * ((offsets - shift) ** 2).mean(axis=0) ** 0.5
    return Scaling(x[0] + unit * shift, deviation + (size == 0))


def _floats(x: Any) -> Any:
    """Concrete numbers as float64 on the host, traced ones as they are."""
    if isinstance(x, Tracer):
        return jnp.asarray(x, jnp.result_type(float, x))
    return np.asarray(x, np.float64)


def standardize(scaling: Scaling, x: Any) -> jax.Array:
    """(x - mean) / scale, for training rows and all others. x (n, ...) -> same shape, default float.

    Of concrete numbers mean and scale are taken off in float64, before the rounding to the default float.

    >>> scaling = gd.data.fit_scaling(jnp.array([[1.0], [3.0]]))
    >>> print(gd.data.standardize(scaling, jnp.array([[1.0], [5.0]])))
    [[-1.]
     [3.]]
    """
    mean, scale = (_floats(part) for part in scaling)
    return jnp.asarray((_floats(x) - mean) / scale, jnp.result_type(float))


def unstandardize(scaling: Scaling, z: Any) -> Any:
    """z scale + mean, the inverse of `standardize`: float64 on the host, so that a large mean takes nothing away.

    >>> scaling = gd.data.fit_scaling(jnp.array([[1.0], [3.0]]))
    >>> print(gd.data.unstandardize(scaling, jnp.array([[-1.0], [3.0]])))
    [[1.]
     [5.]]
    """
    mean, scale = (_floats(part) for part in scaling)
    return _floats(z) * scale + mean


def to_device(data: Any) -> Any:
    """The same tree as jax arrays: floats in the default float, integers in int32, bools as they are.

    NumPy arrays are copied: writing to one later changes nothing here.

    Raises: ValueError for a number beyond the dtype, TypeError for text and objects; both name the path.

    >>> print(gd.data.to_device({"x": np.array([0.5, 1.5]), "y": np.array([0, 1])}))
    {'x': Array([0.5, 1.5], dtype=float32), 'y': Array([0, 1], dtype=int32)}
    """
    return jax.tree_util.tree_map_with_path(_to_device, data)


def _to_device(path: tuple[Any, ...], leaf: Any) -> jax.Array:
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    place = jnp.asarray if isinstance(leaf, jax.Array) else jnp.array  # asarray may share NumPy's memory
    if jnp.issubdtype(dtype, jnp.floating):
        target = jnp.result_type(float)
    elif jnp.issubdtype(dtype, jnp.integer):
        target = np.dtype(np.int32)
    elif jnp.issubdtype(dtype, jnp.bool_):
        return place(leaf)
    else:
        raise TypeError(f"to_device: real numbers or bools are needed, got {dtype} at {path_string(path)}")
    check_fits("to_device", path, leaf, target)
    return place(leaf, target)


def as_arrays(who: str, data: Any, on_host: bool = False) -> Any:
    """Data at a door: jax arrays and Python numbers as they are, all else in the dtype that JAX gives it, if that holds it.

    Args:
        on_host: whether other arrays become those of NumPy, which no device holds yet.

    Raises: ValueError for a number beyond that dtype (2^31 where integers are int32), TypeError for text, dates and objects;
        both name `who` and the path.

    >>> print(gd.data.as_arrays("my_function", {"x": np.array([1.0, 2.0])}))
    {'x': Array([1., 2.], dtype=float32)}
    """
    return jax.tree_util.tree_map_with_path(lambda path, leaf: _as_array(who, path, leaf, on_host), data)


def _as_array(who: str, path: tuple[Any, ...], leaf: Any, on_host: bool) -> Any:
    if isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct, int, float, complex)):
        return leaf
    refuse_masked(who, path, leaf)
    array = np.asarray(leaf)
    if not any(jnp.issubdtype(array.dtype, kind) for kind in (jnp.number, jnp.bool_)):
        raise TypeError(f"{who}: arrays of numbers or bools are needed, got {array.dtype} at {path_string(path)}")
    target = jax.dtypes.canonicalize_dtype(array.dtype)
    check_fits(who, path, array, target)
    return np.asarray(array, target) if on_host else jnp.asarray(array, target)


def check_fits(who: str, path: tuple[Any, ...], leaf: Any, target: Any) -> None:
    """Raise ValueError where a concrete array holds a number beyond the dtype: an integer out of its range, a finite float
    that would become infinite."""
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    if not is_concrete(leaf) or not np.size(leaf) or dtype == target:
        return
    if jnp.issubdtype(target, jnp.integer):
        extremes, limits = (np.min(leaf), np.max(leaf)), np.iinfo(target)
        beyond = [x for x in extremes if not limits.min <= int(x) <= limits.max]
    else:
        finite = np.where(np.isfinite(leaf), np.abs(leaf), 0)
        beyond = [x for x in (np.max(finite),) if x > jnp.finfo(target).max]
    if beyond:
        kind = "integers" if jnp.issubdtype(target, jnp.integer) else "numbers"
        hint = "" if jax.config.jax_enable_x64 else " (or enable jax_enable_x64)"
        hint = "" if who == "to_device" else hint
        where = path_string(path)
        raise ValueError(f"{who}: {kind} must fit in {np.dtype(target)}{hint}, got {beyond[0]} at {where}")


def _check_array(name: str, field: str, array: Any, shape: tuple[int, ...], dtypes: tuple[type, ...]) -> None:
    if np.shape(array) != shape or array.dtype not in dtypes:
        kinds = " or ".join(str(np.dtype(dtype)) for dtype in dtypes)
        raise ValueError(f"{name}: {field} must be {kinds} {shape}, got {array.dtype} {np.shape(array)}")


def _check_fractions(fractions: Sequence[float]) -> np.ndarray:
    shares = np.asarray(fractions, float)
    if shares.ndim != 1 or not np.all(shares > 0) or abs(shares.sum() - 1) > 1e-4:
        raise ValueError(f"split: fractions must be positive and sum to 1, got {tuple(fractions)}")
    return shares / shares.sum()


def apportion(counts: np.ndarray, shares: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The number of rows of each class in each part, (classes, parts) int: counts x shares, rounded up or down.

    The rows of a class that remain after rounding down go, one each, to the parts that lack most. This is Gale's and Ryser's
    construction of a 0-1 matrix with given margins. Classes with fewer rows than there are parts come last, in random order.
    """
    exact = np.outer(counts, shares)
    table = np.floor(exact).astype(int)
    lacking = largest_remainder(counts.sum() * shares) - table.sum(0)
    rest = counts - table.sum(1)
    is_rare = counts < len(shares)
    for label in [*np.flatnonzero(~is_rare), *generator.permutation(np.flatnonzero(is_rare))]:
        order = np.lexsort((table[label] - exact[label], -lacking))
        table[label, order[: rest[label]]] += 1
        lacking[order[: rest[label]]] -= 1
    return table


def largest_remainder(exact: np.ndarray) -> np.ndarray:
    """Numbers rounded down, and up where most is cut off, so that their sum is that of the exact ones."""
    sizes = np.floor(exact).astype(int)
    missing = round(exact.sum()) - sizes.sum()
    sizes[np.argsort(sizes - exact, kind="stable")[:missing]] += 1
    return sizes


def hash_of(dataset: Dataset) -> str:
    """16 hex digits that stand for the contents: numbers, task, names of columns and classes.

    >>> print(len(gd.data.hash_of(gd.data.load("wine"))))
    16
    """
    names = repr((dataset.task, dataset.x.shape, dataset.feature_names, dataset.target_names))
    digest = hashlib.sha256(names.encode())
    for numbers in (dataset.x, dataset.y):  # in their own dtypes, float64 from files
        digest.update(np.ascontiguousarray(numbers, numbers.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:16]
