"""Tables of a model's parameters: leaves, shapes and totals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax

from gdjax.text import html_table, table
from gdjax.tree import path_string
from gdjax.types import Params

NUMBERS = (3, 4)  # columns of the table that hold numbers


@dataclass(frozen=True)
class Leaf:
    """One array of a tree."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    count: int
    bytes: int


@dataclass(frozen=True)
class Summary:
    """The leaves of a parameter tree, in order. It prints as a table."""

    leaves: tuple[Leaf, ...]

    @property
    def weights(self) -> int:
        """The number of entries in leaves of two axes or more: the edges of the network."""
        return sum(leaf.count for leaf in self.leaves if len(leaf.shape) >= 2)

    @property
    def biases(self) -> int:
        """The number of all other entries: biases, and the scales of normalization layers."""
        return self.total - self.weights

    @property
    def total(self) -> int:
        return sum(leaf.count for leaf in self.leaves)

    @property
    def bytes(self) -> int:
        return sum(leaf.bytes for leaf in self.leaves)

    def __str__(self) -> str:
        return f"{table(self._rows(), right=NUMBERS)}\n{self._totals()}"

    def _repr_html_(self) -> str:
        """As it prints, in a notebook."""
        return html_table(self._rows(), NUMBERS, self._totals())

    def _rows(self) -> list[tuple[str, ...]]:
        rows = [("path", "shape", "dtype", "count", "bytes")]
        rows += [(x.path, str(x.shape), x.dtype, f"{x.count:,}", f"{x.bytes:,}") for x in self.leaves]
        return [*rows, ("total", "", "", f"{self.total:,}", f"{self.bytes:,}")]

    def _totals(self) -> str:
        return f"matrices {self.weights:,}, biases {self.biases:,}, total {self.total:,}"


def summary(params: Params) -> Summary:
    """A table of the arrays of any parameter tree, with their sizes. Other leaves are omitted.

    Args:
        params: a pytree of arrays or of shapes, ours or another library's. `jax.eval_shape(model.init, key)`
            gives the shapes and draws nothing.

    >>> print(gd.summary({"w": jnp.ones((2, 3)), "b": jnp.ones(3)}))
    path   shape   dtype    count  bytes
    ['b']  (3,)    float32 3 12
    ['w']  (2, 3)  float32 6 24
    total                       9 36
    matrices 6, biases 3, total 9
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return Summary(tuple(_leaf(path, x) for path, x in leaves if hasattr(x, "shape") and hasattr(x, "dtype")))


def _leaf(path: tuple[Any, ...], x: Any) -> Leaf:
    count = math.prod(x.shape)
    return Leaf(path_string(path), tuple(x.shape), str(x.dtype), count, count * x.dtype.itemsize)
